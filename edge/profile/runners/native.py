"""ExecuTorch in C++, without Python: the program is compiled here and brought to the device with its libraries."""

from __future__ import annotations

from edge.artifact import Artifact
from edge.errors import Refused
from edge.profile.devices import Bundle, BundleFile, Command, Device
from edge.profile.native.build import (
    PROGRAM,
    Machine,
    edge_bench,
    known_machine,
    libraries,
    system_libraries,
)
from edge.profile.peaks import read_peaks
from edge.profile.records import DeviceRecord, Peaks
from edge.profile.runners import Prepared, Wish, runner
from edge.versions import installed_version

MODEL = "model.pte"
BACKENDS = ("executorch-xnnpack", "executorch-ternary")  # targets whose every operator the program has
_EXPERIMENTAL = (
    "started with glibc's own loader, as a phone has another C library: experimental, and untested on a phone"
)


@runner("executorch-native", harness="native", devices=("host", "adb", "ssh"), families=("executorch",), rank=20)
def prepare_native(artifact: Artifact, device: Device, record: DeviceRecord, wish: Wish) -> Prepared:
    """Make a `.pte` ready for the C++ runner; raises Refused for a backend or a processor that it has not.

    Raises MissingError without the executorch package or a compiler for the device.
    """
    family = artifact.manifest.target.partition(":")[0]
    if family not in BACKENDS:
        raise Refused(
            f"ExecuTorch's native runner has no backend for {artifact.manifest.target}; "
            f"it runs {' and '.join(BACKENDS)}"
        )
    machine = known_machine(record.machine)
    phone = device.kind == "adb"
    files = [BundleFile(name=MODEL, path=artifact.file(".pte")), *runner_files(machine, phone=phone)]
    return Prepared(
        bundle=Bundle(files=tuple(files)),
        argv=(*runner_words(machine, phone=phone), MODEL),
        # The host's folder holds links, and a program looks beside the file that a link leads to.
        environment={"LD_LIBRARY_PATH": "."} if device.kind == "host" else {},
        runtime=f"executorch {installed_version('executorch')}",
        remarks=(_EXPERIMENTAL,) if phone else (),
    )


def runner_files(machine: Machine, *, phone: bool) -> list[BundleFile]:
    """Return the program and the libraries that it needs on a device; a phone lacks the system's too.

    Raises MissingError without the executorch package or a compiler.
    """
    program = edge_bench(machine)
    found = [BundleFile(name=PROGRAM, path=program, executable=True)]
    found += [BundleFile(name=path.name, path=path) for path in libraries(machine)]
    if phone:
        loader, *system = system_libraries(machine)
        found.append(BundleFile(name=loader.name, path=loader, executable=True))
        found += [BundleFile(name=path.name, path=path) for path in system]
    return found


def runner_words(machine: Machine, *, phone: bool) -> tuple[str, ...]:
    """Return the words that start the program in its folder."""
    if not phone:
        return (f"./{PROGRAM}",)  # it looks for libraries beside itself
    return (f"./{system_libraries(machine)[0].name}", "--library-path", ".", f"./{PROGRAM}")


def run_peaks(device: Device, record: DeviceRecord, threads: int, timeout_s: float) -> Peaks:
    """Measure a device's peaks with the runner; raises MissingError without a compiler, TargetError if it fails."""
    machine, phone = known_machine(record.machine), device.kind == "adb"
    folder = device.put(Bundle(files=tuple(runner_files(machine, phone=phone))))
    argv = (*runner_words(machine, phone=phone), "--peaks", "--threads", str(threads))
    return read_peaks(device.run(Command(argv=argv, folder=folder), timeout_s).output.splitlines())
