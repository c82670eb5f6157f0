"""The kernels compiled with sanitizers, for 64-bit Arm, and with instructions that are simulated."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from quant.kernels.compile import HERE, CompileFailed, Toolchain, compile_program, host_toolchain

CHECK = Path(__file__).with_name("check.cpp")
CROSS, EMULATOR = "aarch64-linux-gnu-g++", "qemu-aarch64-static"
SYMBOLS = "aarch64-linux-gnu-nm"
SIMULATION = Path("/usr/include/simde/x86/avx512.h")


@pytest.fixture(scope="module")
def compiler() -> Callable[..., Toolchain]:
    try:
        host_toolchain()
    except CompileFailed as error:
        pytest.skip(str(error))
    return host_toolchain


def _needs(*programs: str) -> None:
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed (Debian: apt-get install g++-aarch64-linux-gnu qemu-user-static)")


def _run(*command: object) -> str:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_address_and_undefined_behaviour_sanitizers_find_nothing(compiler, tmp_path: Path) -> None:
    flags = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    program = tmp_path / "check"
    try:
        compile_program(program, CHECK, compiler(flags))
    except CompileFailed as error:
        pytest.skip(f"the compiler has no sanitizers: {error}")
    assert "scalar: " in _run(program, "scalar")


@pytest.mark.slow
def test_instructions_that_this_processor_lacks_are_exact_when_simulated(compiler, tmp_path: Path) -> None:
    if not SIMULATION.is_file():
        pytest.skip("SIMDe is not installed (Debian: apt-get install libsimde-dev)")
    host = compiler()
    if host.machine != "x86_64":
        pytest.skip(f"the paths of x86 are not simulated on {host.machine}")
    program = tmp_path / "check"
    flags = ("-DTERNARY_SIMULATED", "-O1", "-mavx2")
    compile_program(program, CHECK, Toolchain(host.compiler, host.machine, flags, instructions=False))
    if "avx2" not in Path("/proc/cpuinfo").read_text():
        pytest.skip("the simulation itself uses AVX2, which this processor lacks")
    _run(program, "avx-vnni", "avx512-vnni", "avx512-vbmi")


@pytest.mark.slow
def test_every_path_of_arm_is_exact_under_emulation(tmp_path: Path) -> None:
    _needs(CROSS, EMULATOR)
    program = tmp_path / "check"
    compile_program(program, CHECK, Toolchain((CROSS,), "aarch64", ("-static",)))
    _run(EMULATOR, "-cpu", "max", program, "neon", "neon-dotprod", "neon-i8mm")
    older = _run(EMULATOR, "-cpu", "cortex-a53", program, "neon")
    assert "neon-dotprod: this processor lacks its instructions" in older


@pytest.mark.slow
def test_cmake_builds_the_libraries_for_another_machine(tmp_path: Path) -> None:
    _needs("cmake", CROSS, SYMBOLS)
    target = ("-DCMAKE_SYSTEM_NAME=Linux", "-DCMAKE_SYSTEM_PROCESSOR=aarch64", f"-DCMAKE_CXX_COMPILER={CROSS}")
    _run("cmake", "-S", HERE, "-B", tmp_path, *target, "-DTERNARY_ONNXRUNTIME=ON")
    _run("cmake", "--build", tmp_path, "--parallel", "2")
    for name in ("libternary.so", "libternary_onnxruntime.so"):
        header = (tmp_path / name).read_bytes()[:20]
        assert header[:4] == b"\x7fELF"
        assert int.from_bytes(header[18:20], "little") == 183  # EM_AARCH64
    shown = _run(SYMBOLS, "--dynamic", "--defined-only", tmp_path / "libternary_onnxruntime.so").split("\n")
    assert [line.split()[-1] for line in shown if line] == ["RegisterCustomOps"]
