"""`python -m bench.half_codes MODEL...`: the share of token ids that survive half precision itself.

Weights, input and every operator's result are rounded to half, sums stay in float. A runtime that computes in halves
keeps no more but by luck, so a share below the limit says that ids of this model, with these weights, hang by less than
a half can hold, and no operator is at fault. Models without a checkpoint get seeded random weights.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from convert.load import load
from edge.images import read_image
from edge.samples import sample_photos
from edge.tasks import TASKS
from edge.zoo import MODELS


class Halves(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Round what every operator returns to half precision."""

    def __torch_dispatch__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        found = func(*args, **(kwargs or {}))
        return found if func.is_view else tree_map(rounded, found)


def rounded(value: Any) -> Any:
    """Return a float tensor's values as halves would hold them, still in float; anything else as it is."""
    return value.half().float() if isinstance(value, Tensor) and value.dtype == torch.float32 else value


@torch.no_grad()
def answers(module: nn.Module, inputs: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value.numpy() for name, value in module(*map(torch.from_numpy, inputs.values())).items()}


def survivors(name: str) -> list[float]:
    """Return the share of identical ids for each of the kit's photographs."""
    plain, halved = (load(name, random_weights=MODELS[name].weight_status == "yours") for _ in range(2))
    for tensor in halved.module.state_dict().values():
        tensor.copy_(rounded(tensor))
    task, found = TASKS[plain.contract.task], []
    for photo in sample_photos():
        inputs, frame = task.prepare(read_image(photo), plain.contract)
        reference = task.decode(answers(plain.module.eval(), inputs), plain.contract, frame)
        with Halves():  # type: ignore[no-untyped-call]
            outputs = answers(
                halved.module.eval(), {key: rounded(torch.from_numpy(v)).numpy() for key, v in inputs.items()}
            )
        found.append(task.compare(task.decode(outputs, plain.contract, frame), reference))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+", help="encoders of tokenizers")
    for name in parser.parse_args().models:
        shares = survivors(name)
        print(f"{name}: {' '.join(f'{share:.4f}' for share in shares)}, mean {sum(shares) / len(shares):.4f}")


if __name__ == "__main__":
    main()
