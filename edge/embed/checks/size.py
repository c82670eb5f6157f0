"""What the models add to the app, against the budget."""

from __future__ import annotations

import re

from edge.embed.checks import Finding
from edge.errors import UsageError

_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def parse_budget(text: str) -> int:
    """Return the bytes of a text like 30MB or 1.5MiB; raises UsageError for another one."""
    found = re.fullmatch(r"(\d{1,12}(?:\.\d{1,6})?)\s*([KMG]i?B|B)", text.strip(), re.IGNORECASE)
    if found is None or not (size_bytes := int(float(found.group(1)) * _UNITS[found.group(2).upper()])):
        raise UsageError(f"--budget {text!r} is not a size; write it like 30MB or 1.5MiB")
    return size_bytes


def check_size(sizes: dict[str, int], budget_bytes: int) -> Finding:
    """Compare all models that the app holds, by name and bytes, with the budget."""
    total = sum(sizes.values())
    parts = ", ".join(f"{name} {megabytes(size)}" for name, size in sorted(sizes.items(), key=lambda item: -item[1]))
    message = f"{megabytes(total)} of {megabytes(budget_bytes)}: {parts}"
    if total <= budget_bytes:
        return Finding(check="size", verdict="ok", where="models", message=message)
    mend = "deploy in int8 (`edge deploy --precision int8`), drop a model, or raise --budget"
    return Finding(check="size", verdict="failed", where="models", message=message, mend=mend)


def megabytes(size_bytes: int) -> str:
    """Return a size for people."""
    return f"{size_bytes / 1e6:.2f} MB" if size_bytes >= 10_000 else f"{size_bytes} B"
