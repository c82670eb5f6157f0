"""From a TensorFlow.js graph model to an eager, trainable PyTorch module in PyTorch's axis order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from convert.importers.tflite import ImportedGraph

_WHOLE: Mapping[str, tuple[int, ...]] = {}


def import_tfjs(
    topology: Path,
    weights: Path,
    *,
    inputs: Mapping[str, tuple[int, ...]] = _WHOLE,
    outputs: Sequence[str] = (),
) -> ImportedGraph:
    """Read a TensorFlow.js graph model into a torch.fx.GraphModule in eval mode that computes the same in float32.

    `topology` is the `.json` file, `weights` the one `.bin` file beside it. `inputs` (shapes by tensor name, in the
    file's axis order) and `outputs` (tensor names) say between which tensors the graph is taken, so that decoding on
    either side can be left out; without them it is taken whole. Half-precision and quantised weights become float32
    parameters. Raises InputError for files that cannot be read or contradict each other, and ContractError that lists
    every unsupported operator by name and count.
    """
    from convert.importers.tfjs.translate import translate
    from convert.importers.tflite.importer import assemble

    topology, weights = Path(topology), Path(weights)
    return assemble(topology, translate(topology, weights, inputs, tuple(outputs)))
