"""Android's API as a jar to compile against, made from the signatures in PyPI's chaquopy-stubs-android.

    python tests/apps/android_stubs.py apps/.tools/python android.jar

The package has every signature of the API as Python type stubs. Three things are lost in them and put back here: `int`
and `float` returns may be long and double (android_numbers.py), a class without a public constructor cannot
be told from an interface (it becomes one), and protected methods are public. AndroidX is left out: the app has none.
Nothing in the jar can be executed.
"""

from __future__ import annotations

import ast
import re
import sys
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from android_numbers import PRIMITIVES, WORDS, widened
from classfile import ABSTRACT, FINAL, INTERFACE, NATIVE, PUBLIC, STATIC, SUPER, VARARGS, ClassFile, Inner, Member

_PACKAGES = ("android", "dalvik", "org")  # java and javax are the JDK's
_OBJECT = "java/lang/Object"


@dataclass(frozen=True, slots=True)
class _Type:
    """A type erased and in full."""

    erased: str
    full: str
    nullable: bool = False


_ANY = _Type(f"L{_OBJECT};", f"L{_OBJECT};")


@dataclass(frozen=True, slots=True)
class _Class:
    """One class of the stubs: its package, the names from the outermost class to it, and its source."""

    package: str
    names: tuple[str, ...]
    source: ast.ClassDef

    @property
    def full_name(self) -> str:
        return ".".join((self.package, *self.names))

    @property
    def internal(self) -> str:
        return self.package.replace(".", "/") + "/" + "$".join(self.names)


@dataclass(slots=True)
class Stubs:
    """The stubs of a folder, read."""

    classes: dict[str, _Class] = field(default_factory=dict)
    _variables: set[tuple[str, str]] = field(default_factory=set)  # (package, type variable)
    _interfaces: dict[str, bool] = field(default_factory=dict)
    _used: set[str] = field(default_factory=set)  # classes that the one being written mentions

    @classmethod
    def read(cls, root: Path) -> Stubs:
        """Return the stubs below a folder of packages."""
        stubs = cls()
        for path in sorted(root.glob("*-stubs/**/__init__.pyi")):
            first, *rest = path.relative_to(root).parts[:-1]
            package = ".".join([first.removesuffix("-stubs"), *rest])
            body = ast.parse(path.read_text(encoding="utf-8")).body
            stubs._scan(body, package, ())
        return stubs

    def encode(self) -> Iterator[tuple[str, bytes]]:
        """Yield every class's path in a jar and its bytes."""
        for name, item in self.classes.items():
            if item.package.split(".")[0] in _PACKAGES:
                yield f"{item.internal}.class", self._class_file(name).encode()

    def _scan(self, body: Sequence[ast.stmt], package: str, names: tuple[str, ...]) -> None:
        for node in body:
            if isinstance(node, ast.ClassDef):
                item = _Class(package, (*names, node.name), node)
                self.classes[item.full_name] = item
                self._scan(node.body, package, item.names)
            elif isinstance(node, ast.Assign) and "TypeVar" in ast.unparse(node.value):
                self._variables |= {(package, ast.unparse(target)) for target in node.targets}

    def _find(self, name: str, item: _Class) -> str | None:
        """Return the full name of what `name` means inside a class."""
        for depth in range(len(item.names), -1, -1):
            full = ".".join((item.package, *item.names[:depth], name))
            if full in self.classes:
                return full
        return name if name in self.classes else None

    def _bases(self, item: _Class) -> list[tuple[str, _Type]]:
        found = []
        for base in item.source.bases:
            plain = ast.unparse(base.value if isinstance(base, ast.Subscript) else base)
            full = None if plain.startswith("typing.") else self._find(plain, item)
            if full:
                found.append((full, self._type(base, item)))
        return found

    def _is_interface(self, name: str) -> bool:
        """Say whether a class may be an interface: no constructor, and no base that is a class."""
        if name == "java.lang.Object":
            return False
        if name not in self._interfaces:
            self._interfaces[name] = False  # while its bases are looked at
            item = self.classes[name]
            made = any(isinstance(node, ast.FunctionDef) and node.name == "__init__" for node in item.source.body)
            bases = [base for base, _ in self._bases(item) if base != "java.lang.Object"]
            classes = {"java.lang.Enum", "java.lang.Number", "java.lang.Record", "java.lang.Throwable"}
            self._interfaces[name] = not made and name not in classes and all(map(self._is_interface, bases))
        return self._interfaces[name]

    def _type(self, source: ast.expr | None, item: _Class, name: str = "") -> _Type:
        """Return the type that an annotation says; `name` is of what returns it, where `int` may mean long."""
        if source is None:
            return _ANY
        choices = list(_choices(source))
        nullable = len(choices) > 1 and any(ast.unparse(choice) == "None" for choice in choices)
        choices = [choice for choice in choices if len(choices) == 1 or ast.unparse(choice) != "None"]
        for choice in choices:  # a parameter is written as int | java.jlong | java.lang.Long
            plain = PRIMITIVES.get(ast.unparse(choice).removeprefix("java."))
            if plain:
                return _Type(plain, plain)
        first, text = choices[0], ast.unparse(choices[0])
        if text in WORDS:
            plain = widened(WORDS[text], f"{item.full_name}.{name}")
            return _Type(plain, plain)
        if text == "str":
            return _Type("Ljava/lang/String;", "Ljava/lang/String;", nullable)
        if array := re.fullmatch(r"java\.chaquopy\.JavaArrayJ([A-Z][a-z]+)", text):
            plain = "[" + PRIMITIVES["j" + array[1].lower()]
            return _Type(plain, plain, nullable)
        if (item.package, text) in self._variables:
            return _Type(_ANY.erased, f"T{text};", nullable)
        found = self._class_type(first, item, name)
        return _Type(found.erased, found.full, nullable)

    def _class_type(self, source: ast.expr, item: _Class, name: str) -> _Type:
        arguments: list[ast.expr] = []
        text = ast.unparse(source)
        if isinstance(source, ast.Subscript):
            text = ast.unparse(source.value)
            arguments = source.slice.elts if isinstance(source.slice, ast.Tuple) else [source.slice]
            if text == "typing.ClassVar":
                return self._type(source.slice, item, name)
            if text == "typing.Type":
                return _Type("Ljava/lang/Class;", f"Ljava/lang/Class<{_argument(self._type(arguments[0], item))}>;")
            if text == "java.chaquopy.JavaArray":
                each = self._type(arguments[0], item)
                return _Type("[" + each.erased, "[" + each.full)
        full = self._find(text, item)
        if full is None:
            return _ANY
        self._used.add(full)
        internal = self.classes[full].internal
        given = "".join(_argument(self._type(argument, item)) for argument in arguments)
        return _Type(f"L{internal};", f"L{internal}<{given}>;" if given else f"L{internal};")

    def _variables_in(self, node: ast.AST, package: str) -> list[str]:
        names = [part.id for part in ast.walk(node) if isinstance(part, ast.Name)]
        return list(dict.fromkeys(name for name in names if (package, name) in self._variables))

    def _class_file(self, name: str) -> ClassFile:
        self._used.clear()
        item, interface = self.classes[name], self._is_interface(name)
        bases = self._bases(item)
        parent = next(((base, kind) for base, kind in bases if not self._is_interface(base)), None)
        parent_type = parent[1] if parent and not interface else _ANY
        interfaces = [kind for base, kind in bases if self._is_interface(base)]
        own = [
            variable
            for base in item.source.bases
            if ast.unparse(base).startswith("typing.Generic")
            for variable in self._variables_in(base, item.package)
        ]
        fields = [self._field(node, item, interface) for node in item.source.body if isinstance(node, ast.AnnAssign)]
        functions = [node for node in item.source.body if isinstance(node, ast.FunctionDef)]
        free = sum(node.name != "__init__" and not _static(node) for node in functions)
        methods = {
            (method.name, method.descriptor): method
            for method in (self._method(node, item, interface and free != 1, set(own)) for node in functions)
        }
        if interface and free == 1:  # may be written as a lambda
            methods = {key: _abstract(method) for key, method in methods.items()}
        kind = INTERFACE | ABSTRACT if interface else SUPER
        return ClassFile(
            name=item.internal,
            access=PUBLIC | kind,
            parent=parent_type.erased[1:-1],
            interfaces=[kind.erased[1:-1] for kind in interfaces],
            signature=_formal(own) + parent_type.full + "".join(kind.full for kind in interfaces),
            fields=list({member.name: member for member in fields}.values()),
            methods=list(methods.values()),
            inner=self._inner(item),
        )

    def _field(self, node: ast.AnnAssign, item: _Class, interface: bool) -> Member:
        name = ast.unparse(node.target)
        kind = self._type(node.annotation, item, name)
        static = interface or ast.unparse(node.annotation).startswith("typing.ClassVar")
        access = PUBLIC | (STATIC | FINAL if static else 0)
        return Member(name, kind.erased, access, kind.full if kind.full != kind.erased else "")

    def _method(self, node: ast.FunctionDef, item: _Class, default: bool, known: set[str]) -> Member:
        made, static = node.name == "__init__", _static(node)
        arguments = [argument for argument in (*node.args.posonlyargs, *node.args.args) if argument.arg != "self"]
        kinds = [self._type(argument.annotation, item) for argument in arguments]
        if node.args.vararg:
            last = self._type(node.args.vararg.annotation, item)
            kinds.append(_Type("[" + last.erased, "[" + last.full))
        result = _Type("V", "V") if made else self._type(node.returns, item, node.name)
        descriptor = f"({''.join(kind.erased for kind in kinds)}){result.erased}"
        new = [variable for variable in self._variables_in(node, item.package) if variable not in known]
        signature = f"{_formal(new)}({''.join(kind.full for kind in kinds)}){result.full}"
        body = made or default or (static and self._is_interface(item.full_name))
        access = PUBLIC | (STATIC if static else 0) | (VARARGS if node.args.vararg else 0) | (0 if body else NATIVE)
        return Member(
            "<init>" if made else node.name,
            descriptor,
            access,
            signature if signature != descriptor else "",
            result.nullable,
            2 * len(kinds) + 1 if body else None,
        )

    def _inner(self, item: _Class) -> list[Inner]:
        """Return the nested classes that a class is, has or mentions, outer ones first."""
        own = {f"{item.full_name}.{node.name}" for node in item.source.body if isinstance(node, ast.ClassDef)}
        names = set()
        for name in self._used | own | {item.full_name}:
            found = self.classes[name]
            names |= {".".join((found.package, *found.names[:depth])) for depth in range(2, len(found.names) + 1)}
        inner = [self.classes[name] for name in sorted(names, key=lambda name: (name.count("."), name))]
        return [
            Inner(
                found.internal,
                found.internal.rpartition("$")[0],
                found.names[-1],
                PUBLIC | STATIC | (INTERFACE | ABSTRACT if self._is_interface(found.full_name) else 0),
            )
            for found in inner
        ]


def write_jar(root: Path, jar: Path) -> int:
    """Write the jar of the stubs below a folder of packages and return how many classes it has."""
    temporary = jar.with_suffix(".tmp")
    count = 0
    with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in Stubs.read(root).encode():
            archive.writestr(path, data)
            count += 1
    temporary.replace(jar)
    return count


def _choices(source: ast.expr) -> Iterator[ast.expr]:
    if isinstance(source, ast.BinOp):
        yield from _choices(source.left)
        yield from _choices(source.right)
    else:
        yield source


def _argument(kind: _Type) -> str:
    return kind.full if kind.full[0] in "T[" or (kind.full != _ANY.full and kind.full[0] == "L") else "*"


def _formal(variables: Sequence[str]) -> str:
    return "<" + "".join(f"{name}:L{_OBJECT};" for name in variables) + ">" if variables else ""


def _static(node: ast.FunctionDef) -> bool:
    return any(ast.unparse(decorator) == "staticmethod" for decorator in node.decorator_list)


def _abstract(method: Member) -> Member:
    if method.access & STATIC:
        return method
    return Member(method.name, method.descriptor, PUBLIC | ABSTRACT, method.signature, method.nullable)


if __name__ == "__main__":
    print(write_jar(Path(sys.argv[1]), Path(sys.argv[2])), "classes")
