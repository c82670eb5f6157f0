"""The operators in ExecuTorch's runtime: on this machine, and on 64-bit Arm under emulation."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from edge.errors import MissingError
from edge.runtimes.executorch import bindings, set_threads
from edge.runtimes.executorch_ternary import _register
from quant.kernels import TernaryKernel
from quant.kernels.compile import Toolchain, host_toolchain
from quant.kernels.torch_operators import packed_tensor
from quant.kernels.wrappers import compile_runner, executorch_root, foreign_executorch
from quant.ternary import TernaryTensor, pack

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of ExecuTorch and torchao
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
CROSS, EMULATOR, LIBRARIES = "aarch64-linux-gnu-g++", "qemu-aarch64-static", Path("/usr/aarch64-linux-gnu")
STRIDE, PADDING, DILATION = [2, 1], [1, 0, 2, 1], [1, 2]


class Both(torch.nn.Module):
    """A convolution with everything uneven, and a linear layer over its rows."""

    def __init__(self, conv: TernaryTensor, linear: TernaryTensor) -> None:
        super().__init__()
        self.register_buffer("conv", packed_tensor(conv, "t5"))
        self.register_buffer("linear", packed_tensor(linear, "t2"))
        self.register_buffer("bias", torch.linspace(-1, 1, conv.shape[0]))
        self.shape, self.features = list(conv.shape), linear.shape[0]

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        operators = torch.ops.edge
        made = operators.ternary_conv2d(images, self.conv, self.bias, self.shape, STRIDE, PADDING, DILATION)
        return made, operators.ternary_linear(made, self.linear, None, self.features)


def random_tensor(seed: int, *shape: int) -> TernaryTensor:
    random = np.random.default_rng(seed)
    return TernaryTensor(random.integers(-1, 2, shape, np.int8), random.uniform(0.1, 1, shape[0]).astype(np.float32))


@pytest.fixture(scope="module")
def network() -> tuple[Both, torch.Tensor]:
    images = torch.randn(2, 5, 11, 12, generator=torch.Generator().manual_seed(0))
    return Both(random_tensor(1, 6, 5, 3, 3), random_tensor(2, 7, 9)).eval(), images


def lowered(module: torch.nn.Module, *inputs: torch.Tensor) -> bytes:
    from executorch.exir import to_edge_transform_and_lower

    return bytes(to_edge_transform_and_lower(torch.export.export(module, inputs)).to_executorch().buffer)


def run(program: bytes, *inputs: torch.Tensor) -> list[np.ndarray]:
    native = bindings()
    check = native.Verification.InternalConsistency
    loaded = native._load_program_from_buffer(
        program, enable_etdump=False, debug_buffer_size=0, program_verification=check
    )
    return [tensor.numpy().copy() for tensor in loaded.load_method("forward").call(list(inputs), clone_outputs=False)]


@pytest.fixture(scope="module")
def program(network) -> bytes:
    module, images = network
    return lowered(module, images)


@pytest.fixture
def registered() -> None:
    try:
        _register()
    except MissingError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("threads", [1, 2])
def test_executorch_computes_exactly_what_the_kernels_compute(threads, network, program, registered) -> None:
    module, images = network
    set_threads(threads)
    made, rows = run(program, images)
    conv = TernaryKernel(pack(random_tensor(1, 6, 5, 3, 3), "t5"))
    bias = module.bias.numpy()
    assert np.array_equal(made, conv.convolve(images.numpy(), bias, stride=STRIDE, padding=PADDING, dilation=DILATION))
    assert np.array_equal(rows, TernaryKernel(pack(random_tensor(2, 7, 9), "t2")).linear(made))
    top, left, bottom, right = PADDING
    weight = torch.from_numpy(random_tensor(1, 6, 5, 3, 3).dequantize())
    padded = torch.nn.functional.pad(images, (left, right, top, bottom))
    eager = torch.nn.functional.conv2d(padded, weight, module.bias, STRIDE, 0, DILATION).numpy()
    assert np.abs(made - eager).max() < 0.02 * np.abs(eager).max()  # activations with 8-bit codes


def test_what_does_not_fit_is_an_error_and_no_crash(network, program, registered, capfd) -> None:
    _, images = network
    packed = pack(random_tensor(1, 6, 5, 3, 3), "t5")
    at = program.index(packed)
    damaged = program[: at + 70] + bytes([program[at + 70] ^ 1]) + program[at + 71 :]
    with pytest.raises(RuntimeError):
        run(damaged, images)
    assert "checksum" in "".join(capfd.readouterr())
    with pytest.raises(RuntimeError):
        run(program, torch.full_like(images, torch.nan))
    assert "not finite" in "".join(capfd.readouterr())
    assert run(program, images)[0].shape == (2, 6, 6, 9)  # and the next call is right again


def written(folder: Path, program: bytes, images: torch.Tensor) -> tuple[Path, Path]:
    model, values = folder / "model.pte", folder / "input.bin"
    model.write_bytes(program)
    values.write_bytes(images.numpy().tobytes())
    return model, values


def check_runner(command: list[str], folder: Path, program: bytes, network) -> None:
    """Run the runner's command and compare what it writes with PyTorch's operators, bit for bit."""
    module, images = network
    model, values = written(folder, program, images)
    words = [*command, str(model), str(folder / "out"), str(values)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    for index, expected in enumerate(module(images)):
        found = np.frombuffer((folder / f"out{index}.bin").read_bytes(), np.float32)
        assert np.array_equal(found, expected.numpy().ravel())


def test_a_program_without_python_runs_it(network, program, tmp_path: Path) -> None:
    root = executorch_root()
    runner = tmp_path / "ternary-run"
    compile_runner(runner, host_toolchain((f"-Wl,-rpath,{root / 'lib'}",)), root)
    check_runner([str(runner)], tmp_path, program, network)
    done = subprocess.run([runner, tmp_path / "none.pte", tmp_path / "out"], capture_output=True, check=False)
    assert done.returncode == 1


@pytest.fixture(scope="module")
def aarch64_runner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for tool in (CROSS, EMULATOR):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed (Debian: apt-get install g++-aarch64-linux-gnu qemu-user-static)")
    runner = tmp_path_factory.mktemp("aarch64") / "ternary-run"
    compile_runner(runner, Toolchain((CROSS,), "aarch64"), foreign_executorch("aarch64"))
    return runner


@pytest.mark.parametrize("processor", ["max", "cortex-a53"])  # with i8mm, and with plain NEON
def test_an_aarch64_program_runs_it_under_emulation(processor, network, program, aarch64_runner, tmp_path) -> None:
    search = f"LD_LIBRARY_PATH={foreign_executorch('aarch64') / 'lib'}"
    emulator = [EMULATOR, "-cpu", processor, "-L", str(LIBRARIES), "-E", search]
    check_runner([*emulator, str(aarch64_runner)], tmp_path, program, network)
