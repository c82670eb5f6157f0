"""The name of this machine."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def host_name() -> str:
    """Return this machine's CPU model and core count."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        names = [
            line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")
        ]
        model = names[0] if names else model
    return f"{model} ({platform.machine()}, {os.cpu_count()} cores)"
