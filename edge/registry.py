"""The one decorator behind models, targets, tasks, runtimes and devices.

A `Registry` finds its definitions by importing every public module of one package the first time it is
asked; a new model or target is therefore one new file with one decorated definition.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from typing import Generic, TypeVar

from edge.errors import EdgeError, UnknownName

T = TypeVar("T")


class Registry(Mapping[str, T], Generic[T]):
    """Map names to definitions of one kind; duplicate names are an error, unknown names offer the closest."""

    def __init__(self, kind: str, package: str, *, command: str = "") -> None:
        self._kind, self._package, self._command = kind, package, command
        self._entries: dict[str, T] = {}
        self._discovered = False

    def add(self, name: str, entry: T) -> T:
        """Register `entry`; raises EdgeError if the name is taken."""
        if name in self._entries:
            raise EdgeError(f"{self._kind} {name!r} is defined twice")
        self._entries[name] = entry
        return entry

    def register(self, name: str, make: Callable[[Callable[..., object]], T]) -> Callable[..., Callable[..., object]]:
        """Return a decorator that registers `make(function)` under `name` and leaves the function as it is."""

        def decorate(function: Callable[..., object]) -> Callable[..., object]:
            self.add(name, make(function))
            return function

        return decorate

    def _discover(self) -> None:
        if self._discovered:
            return
        self._discovered = True
        package = importlib.import_module(self._package)
        for module in sorted(pkgutil.iter_modules(package.__path__), key=lambda found: found.name):
            if not module.name.startswith("_"):
                importlib.import_module(f"{self._package}.{module.name}")

    def __getitem__(self, name: str) -> T:
        self._discover()
        try:
            return self._entries[name]
        except KeyError:
            raise UnknownName(self._kind, name, self._entries, self._command) from None

    def __contains__(self, name: object) -> bool:
        self._discover()
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        self._discover()
        return iter(sorted(self._entries))

    def __len__(self) -> int:
        self._discover()
        return len(self._entries)
