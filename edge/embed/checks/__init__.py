"""What breaks in the field, one check a file: each returns what it found, with what mends it."""

from __future__ import annotations

from typing import Literal

import msgspec

Verdict = Literal["ok", "warning", "failed"]


class Finding(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one check says of one thing; a failed one ends the command with exit code 4."""

    check: Literal["page-size", "qnn", "size", "system", "dependency", "library"]
    verdict: Verdict
    where: str  # a file, a package or an artifact
    message: str
    mend: str = ""  # what to do, if the verdict is not ok
