"""Time the apps' Kotlin core on this machine's JVM: `make bench-apps`, or with the names of files to run only those.

Every file *Benchmarks.kt of apps/android/core/src/bench has a main function that calls `benchmark(name) { … }`; each
call prints a line of JSON. The JVM of a phone is another one: the numbers compare two versions of the code, here.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from kotlin import CORE, GOLDEN, bench_classes, find_kotlin


def main(names: list[str]) -> int:
    """Compile the core and its benchmarks and run them one after the other."""
    kotlin = find_kotlin()
    with tempfile.TemporaryDirectory() as folder:
        core, bench = Path(folder) / "core.jar", Path(folder) / "bench.jar"
        kotlin.compile([CORE / "main" / "kotlin"], core)
        kotlin.compile([CORE / "bench" / "kotlin"], bench, [core])
        for name in bench_classes(CORE / "bench" / "kotlin"):
            if names and not any(wanted in name for wanted in names):
                continue
            done = kotlin.run([core, bench], name, properties={"golden": str(GOLDEN)})
            print(done.stdout, end="", flush=True)
            if done.returncode:
                print(done.stderr, file=sys.stderr)
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
