"""Write requirements.lock from what is installed in this environment."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

LOCK = Path(__file__).resolve().parent.parent / "requirements.lock"
LEFT_OUT = frozenset({"pip", "edge-deployment-kit"})

if __name__ == "__main__":
    head = [line for line in LOCK.read_text().splitlines() if line.startswith("#")]
    pins = {
        f"{dist.name}=={dist.version.partition('+')[0]}"  # a local version, as of a CPU build of torch, is no pin
        for dist in metadata.distributions()
        if dist.name.lower() not in LEFT_OUT
    }
    LOCK.write_text("\n".join([*head, *sorted(pins, key=str.lower)]) + "\n")
