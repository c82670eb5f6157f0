"""The benchmarks of the Android core run, each with a line of JSON; how fast is not a test's to say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from kotlin import CORE, GOLDEN, Core, bench_classes

pytestmark = pytest.mark.slow
SHORT = {"bench.warmupMs": "50", "bench.batchMs": "1", "bench.batches": "5", "golden": str(GOLDEN)}


def test_every_benchmark_prints_what_it_measured(core: Core, tmp_path: Path) -> None:
    folder, jar = CORE / "bench" / "kotlin", tmp_path / "bench.jar"
    core.kotlin.compile([folder], jar, [core.main])
    names: list[str] = []
    for name in bench_classes(folder):
        done = core.kotlin.run([core.main, jar], name, properties=SHORT)
        assert done.returncode == 0, done.stderr[-4000:]
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        assert rows, f"{name} measures nothing"
        for row in rows:
            assert 0 <= row["least_ns"] <= row["median_ns"] <= row["p90_ns"], row
            assert row["allocated_bytes"] >= 0, row
        names += [row["name"] for row in rows]
    assert len(set(names)) == len(names)
    assert "harness/empty" in names
