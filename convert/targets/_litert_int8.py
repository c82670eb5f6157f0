"""Static quantization of a float `.tflite` on real pictures: 8-bit weights a channel, 8- or 16-bit activations.

ai-edge-quantizer writes the file; the ranges and the biases it gets are ours. Without an observer of the user's, four
ways to choose the ranges of activations are tried (extremes, mean of the pictures' extremes, percentile, least squared
error): the file that is nearest to the float one on the calibration pictures is kept. Values beyond ±8 before a sigmoid
and below -3 before a hard-swish change nothing and get no codes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from convert.nearness import Answers, Nearness, nearness
from convert.targets._litert_activations import Rewritten, for_npus
from convert.targets._litert_bias import Floats, correct_biases
from convert.targets._litert_origin import kind_of, read_model
from convert.targets._litert_recipes import STATIC, Arrays, Quantized, Ranges, quantizer_step, write_static
from quant.observers import Observer, Range, Seen, choose_range

Rewrite = Callable[[bytes, Collection[str]], Rewritten]
Near = Callable[[Answers, Answers], Nearness]
_MEAN = "mean of extremes"
_TRIED: Mapping[int, tuple[str, ...]] = {8: ("min-max", _MEAN, "percentile", "mse"), 16: ("min-max",)}
_SATURATES: Mapping[str, Range] = {"LOGISTIC": (-8.0, 8.0), "HARD_SWISH": (-3.0, np.inf)}


@dataclass(slots=True)
class Activation:
    """What one float activation held over the calibration pictures."""

    seen: Seen = field(default_factory=Seen)
    lows: list[float] = field(default_factory=list)
    highs: list[float] = field(default_factory=list)
    means: list[Floats] = field(default_factory=list)  # a channel

    def add(self, values: Floats) -> None:
        """Take in the values of one picture, shape (..., C)."""
        self.seen.add(values)
        self.lows.append(float(values.min()))
        self.highs.append(float(values.max()))
        self.means.append(values.reshape(-1, values.shape[-1]).mean(0) if values.ndim else values.reshape(1))


def quantize(
    content: bytes,
    precision: str,
    inputs: Sequence[Arrays],
    *,
    observer: Observer | None = None,
    floats: Collection[str] = (),
    rewrite: Rewrite = for_npus,
    near: Near = nearness,
) -> Quantized:
    """Quantize a float `.tflite`; `inputs` are its own inputs, in its own layout.

    `near` compares its own outputs with those of the float file. Operators whose result is named by `floats` stay in
    float. `rewrite` gives the rest the forms that the file's runtime has in integers.
    """
    found = _observe(content, inputs)
    means = {name: np.mean(entry.means, axis=0) for name, entry in found.items()}
    bits = 16 if precision == "w8a16" else 8
    rewritten = rewrite(content, floats) if bits == 8 else for_npus(content)
    choices = (observer,) if observer else _TRIED[bits]
    expected = _answers(content, inputs) if len(choices) > 1 else []
    best: tuple[Nearness | None, str, bytes] | None = None
    for choice in choices:
        ranges = rewritten.complete(_ranges(content, found, choice, bits))
        rough = write_static(rewritten.content, precision, ranges, inputs[0], floats)
        corrected = correct_biases(rewritten.content, rough, means)
        candidate = write_static(corrected, precision, ranges, inputs[0], floats)
        score = near(expected, _answers(candidate, inputs)) if expected else None
        if best is None or best[0] is None or (score is not None and score > best[0]):
            best = (score, choice, candidate)
    if best is None:
        raise ValueError(f"no way to choose ranges for {precision}")
    options: dict[str, str | int | float | bool] = {
        "recipe": STATIC[precision], "ranges": best[1], "pictures": len(inputs), "bias_correction": True,
    }  # fmt: skip
    if floats:
        options["float_operators"] = len(floats)
    return Quantized(best[2], quantizer_step(options))


def _interpreter(content: bytes, *, keep: bool = False) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content, num_threads=1, experimental_preserve_all_tensors=keep)
    interpreter.allocate_tensors()
    return interpreter


def _answers(content: bytes, inputs: Sequence[Arrays]) -> list[dict[str, Floats]]:
    run = _interpreter(content).get_signature_runner()
    return [dict(run(**given)) for given in inputs]


def _observe(content: bytes, inputs: Sequence[Arrays]) -> dict[str, Activation]:
    """Run the float file on every picture and collect what each activation held, by name."""
    graph = read_model(content).subgraphs[0]
    chosen = {int(tensor) for operator in graph.operators for tensor in operator.outputs}
    chosen |= {int(tensor) for tensor in graph.inputs}
    interpreter = _interpreter(content, keep=True)
    run = interpreter.get_signature_runner()
    details = [entry for entry in interpreter.get_tensor_details() if entry["dtype"] is np.float32]
    found: dict[str, Activation] = {}
    for given in inputs:
        run(**given)
        for detail in (entry for entry in details if entry["index"] in chosen):
            try:
                values = interpreter.get_tensor(detail["index"])
            except ValueError:  # inside a delegate, or unused
                continue
            if values.size:
                found.setdefault(detail["name"], Activation()).add(values)
    return found


def _ranges(content: bytes, found: Mapping[str, Activation], choice: str, bits: int) -> Ranges:
    """Return the range of every activation, by tensor name."""
    ranges = {name: _choose(entry, choice, bits) for name, entry in found.items()}
    model = read_model(content)
    graph = model.subgraphs[0]
    users = [int(tensor) for operator in graph.operators for tensor in operator.inputs]
    for operator in graph.operators:
        bounds = _SATURATES.get(kind_of(model.operatorCodes[operator.opcodeIndex]))
        source = int(operator.inputs[0])
        name = graph.tensors[source].name.decode()
        if bounds is None or users.count(source) > 1 or name not in ranges:
            continue
        low, high = max(ranges[name][0], bounds[0]), min(ranges[name][1], bounds[1])
        if low < high:
            ranges[name] = (low, high)
    return ranges


def _choose(entry: Activation, choice: str, bits: int) -> Range:
    if choice == _MEAN:
        return float(np.mean(entry.lows)), float(np.mean(entry.highs))
    return choose_range(entry.seen, choice, bits=bits)  # type: ignore[arg-type]  # every other choice is an observer
