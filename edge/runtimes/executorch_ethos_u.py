"""Ethos-U artifacts of ExecuTorch: the TOSA graphs that Vela was given, on Arm's TOSA reference model.

Nothing here executes the NPU's command stream. The graphs before it are bit-exact by TOSA's specification: what the
reference model computes is what the NPU must compute.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from edge.artifact import Artifact, Mode
from edge.errors import Unexecutable
from edge.runtimes import Session, runtime
from edge.runtimes._inputs import checked_input
from edge.runtimes._tosa import Player, read_schedule


class EthosUSession:
    """One program on the reference model."""

    mode: Mode = "reference"
    note = (
        "the TOSA graph before Vela, on Arm's TOSA reference model; the command stream itself cannot be executed here"
    )

    def __init__(self, artifact: Artifact, player: Player) -> None:
        self._inputs, self._outputs = artifact.manifest.inputs, artifact.manifest.outputs
        self._player = player

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run once; raises InputError for a missing or wrong input, TargetError if an operator cannot be computed."""
        results = self._player.play(tuple(checked_input(inputs, spec) for spec in self._inputs))
        return {spec.name: array for spec, array in zip(self._outputs, results, strict=True)}


@runtime("executorch-ethos-u")
def open_ethos_u(artifact: Artifact) -> Session:
    """Load the schedule and the TOSA graphs beside the `.pte`.

    Raises MissingError without tosa-tools, Unexecutable if an operator outside the delegates could not be written down.
    """
    schedule = read_schedule(artifact.root)
    if schedule.obstacle:
        raise Unexecutable(artifact.manifest.target, [schedule.obstacle])
    return EthosUSession(artifact, Player(artifact.root, schedule))
