"""LiteRT and ONNX Runtime on boards, through the Python packages that are installed there."""

from __future__ import annotations

from pathlib import Path

from edge.artifact import Artifact
from edge.errors import MissingError, Refused
from edge.profile.board import runner as board_runner
from edge.profile.devices import Bundle, BundleFile, Command, Device
from edge.profile.records import DeviceRecord
from edge.profile.runners import Prepared, Wish, runner

_CHECK_S = 120.0
_FILES = {"litert-cpu": ".tflite", "onnx-cpu": ".onnx"}  # targets whose every operator the packages have
_PACKAGES = {"litert": "ai-edge-litert", "onnx": "onnxruntime"}
_PROGRAM = Path(board_runner.__file__)
_PROBE = "import sys; sys.path.insert(0, ''); import runner; from importlib import metadata; \
name = runner.RUNTIMES[sys.argv[1]][0]()[0]; print('found', name, metadata.version(name))"


@runner("board-python", harness="python", devices=("ssh",), families=("litert", "onnx"))
def prepare_board(artifact: Artifact, device: Device, record: DeviceRecord, wish: Wish) -> Prepared:
    """Make a `.tflite` or `.onnx` ready for the board's Python; raises Refused for an accelerator's artifact.

    Raises MissingError if the board lacks Python, numpy or the runtime, with the command that gets it.
    """
    family = artifact.manifest.target.partition(":")[0]
    if family not in _FILES:
        raise Refused(
            f"{artifact.manifest.target} needs a library of its own on {device.id}; "
            f"what its Python packages run is {' and '.join(_FILES)}"
        )
    runtime = family.partition("-")[0]
    files = tuple(BundleFile(name=path.name, path=path) for path in (_PROGRAM, _PROGRAM.with_name("loop.py")))
    version = _installed(runtime, device, device.put(Bundle(files=files)), wish.python)
    model = artifact.file(_FILES[family])
    described = [
        word
        for spec in artifact.manifest.inputs
        for word in ("--tensor", f"{spec.name}:{spec.dtype}:{','.join(map(str, spec.shape))}")
    ]
    return Prepared(
        bundle=Bundle(files=(*files, BundleFile(name=model.name, path=model))),
        argv=(wish.python, _PROGRAM.name, "--runtime", runtime, "--model", model.name, *described),
        environment={"OMP_NUM_THREADS": str(wish.threads)},
        runtime=version,
    )


def _installed(runtime: str, device: Device, folder: str, python: str) -> str:
    """Return the name and version of a runtime that a board's Python imports; raises MissingError."""
    ended = device.run(Command(argv=(python, "-c", _PROBE, runtime), folder=folder), _CHECK_S)
    for line in ended.output.splitlines():
        if line.startswith("found "):
            return line.removeprefix("found ").strip()
    lines = [line.strip() for line in ended.errors.splitlines() if line.strip()]
    why = ended.problem or (lines[-1] if lines else f"it ended with code {ended.code}")
    raise MissingError(
        f"{python} on {device.id} cannot run {runtime} models ({why}); there: "
        f"{python} -m pip install numpy {_PACKAGES[runtime]}"
    )
