"""Damaged files: one clear error, never a crash, a hang or a huge allocation."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from test_tflite_operators import conv
from tflite_files import Draft

from convert.importers.tflite import import_tflite
from edge.errors import ContractError, InputError

RNG = np.random.default_rng(5)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A file with a padded convolution, a resize, a reshape and a dense layer."""
    draft = Draft()
    image, padded, features, larger, flat, result = (draft.tensor() for _ in range(6))
    draft.graph.tensors[image].shape = [1, 6, 6, 3]
    amounts = draft.constant(np.array([[0, 0], [1, 1], [1, 1], [0, 0]], np.int32))
    kernel, bias = RNG.normal(size=(4, 3, 3, 3)).astype(np.float32), np.zeros(4, np.float32)
    draft.add("PAD", [image, amounts], [padded], table="PadOptions")
    draft.add("CONV_2D", [padded, draft.constant(kernel), draft.constant(bias)], [features], **conv(1, 2, activation=3))
    size = draft.constant(np.array([6, 6], np.int32))
    draft.add("RESIZE_BILINEAR", [features, size], [larger], table="ResizeBilinearOptions", halfPixelCenters=True)
    draft.add("RESHAPE", [larger, draft.constant(np.array([1, 144], np.int32))], [flat], table="ReshapeOptions")
    weight = draft.constant(RNG.normal(size=(2, 144)).astype(np.float32))
    draft.add("FULLY_CONNECTED", [flat, weight, -1], [result], table="FullyConnectedOptions")
    path = draft.write(tmp_path_factory.mktemp("damage") / "small.tflite", [image], [result])
    import_tflite(path)
    return path.read_bytes()


def _import(data: bytes, folder: Path) -> None:
    path = folder / "damaged.tflite"
    path.write_bytes(data)
    message = "damaged.tflite"  # where the damage is harmless, the import succeeds
    try:
        import_tflite(path)
    except (InputError, ContractError) as error:
        message = str(error)
    assert "damaged.tflite" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"TFL3",
        b"\x00" * 8,
        b"\x1c\x00\x00\x00TFL3",
        b"\xff" * 4 + b"TFL3" + b"\xff" * 64,
        b"PK\x03\x04" + b"x" * 99,
    ],
    ids=["empty", "mark only", "zeros", "header only", "all ones", "zip"],
)
def test_other_files_are_input_errors(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "other.tflite"
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"other\.tflite"):
        import_tflite(path)


def test_absent_files_and_folders_are_input_errors(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.tflite", tmp_path):
        with pytest.raises(InputError, match="cannot be read"):
            import_tflite(path)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 0.99))
def test_truncated_files_are_input_errors(share: float, small: bytes, tmp_path: Path) -> None:
    path = tmp_path / "short.tflite"
    path.write_bytes(small[: int(len(small) * share)])
    with pytest.raises(InputError, match=r"short\.tflite"):
        import_tflite(path)


# The tables lie behind the weights in these files: words of the first and last bytes are offsets, lengths, shapes.
_WORDS = st.one_of(st.integers(0, 2**32 - 1), st.sampled_from([0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**16, 2**24]))


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.integers(0, 10**6), _WORDS), min_size=1, max_size=4))
@example(changes=[(2960, 0)])  # an input without rows
def test_mutated_files_never_crash(changes: list[tuple[int, int]], small: bytes, tmp_path: Path) -> None:
    data = bytearray(small)
    for place, word in changes:
        start = place % (len(data) // 4) * 4
        data[start : start + 4] = word.to_bytes(4, "little")
    _import(bytes(data), tmp_path)


_FUZZ = """
import random, resource, sys
from pathlib import Path
from convert.importers.tflite import import_tflite
from edge.errors import InputError, ContractError
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[3]),) * 2)
source, target, generator = Path(sys.argv[1]).read_bytes(), Path(sys.argv[2]), random.Random(3)
counts = {True: 0, False: 0}
for _ in range(20):
    data = bytearray(source)
    for _ in range(generator.choice((1, 3, 30))):
        start = generator.randrange(len(data) // 4) * 4
        word = generator.choice((0, 1, 2**31 - 1, 2**32 - 1, generator.randrange(2**32)))
        data[start:start + 4] = word.to_bytes(4, "little")
    target.write_bytes(data)
    try:
        import_tflite(target); counts[True] += 1
    except (InputError, ContractError):
        counts[False] += 1
print(counts)
"""


@pytest.mark.slow
def test_mutated_real_file_stays_within_memory_and_time(weights: Callable[[str], Path], tmp_path: Path) -> None:
    """Import 20 damaged copies of a real file in a child process with 6 GiB of address space and 120 seconds."""
    arguments = [str(weights("selfie_segmentation.tflite")), str(tmp_path / "x.tflite"), str(6 << 30)]
    child = subprocess.run(
        [sys.executable, "-c", _FUZZ, *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    assert child.returncode == 0, child.stderr[-800:]


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(dimension=st.sampled_from([2**20, 2**30, 2**31 - 1]), place=st.integers(0, 200))
def test_huge_shapes_allocate_nothing(dimension: int, place: int, small: bytes, tmp_path: Path) -> None:
    """Replace the small integers of the file, sizes among them, by huge ones."""
    words = np.frombuffer(small[: len(small) // 4 * 4], "<u4").copy()
    sizes = np.flatnonzero((words > 0) & (words < 200))
    words[sizes[place % sizes.size]] = dimension
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    _import(words.tobytes() + small[len(small) // 4 * 4 :], tmp_path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 512 * 1024  # KiB
