"""The smallest part of a program that shows a divergence, as files that anyone can run with torch and numpy alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch.fx import Node

from convert.bisect.match import Match
from convert.bisect.network import Network, Stretch, module_of
from convert.bisect.records import Row

_RUN = '''"""Run __NODES__ in eager PyTorch on the artifact's own inputs; needs torch and numpy."""

from pathlib import Path

import numpy as np
import torch

here = Path(__file__).resolve().parent
program = torch.export.load(here / "operator.pt2").module()
inputs = np.load(here / "input.npz")
given = [torch.from_numpy(inputs[name]) for name in inputs.files]
with torch.no_grad():
    [expected] = program(*given)
expected = expected.numpy()
found = np.load(here / "artifact.npz")["output"]
difference = found.astype(np.float64) - expected.astype(np.float64)
scale = max(float(np.sqrt(np.mean(expected.astype(np.float64) ** 2))), 1e-30)
print(program.graph)
print(f"inputs              {', '.join(f'{name} {inputs[name].shape}' for name in inputs.files)}")
print(f"eager PyTorch       mean {expected.mean():.6g}, rms {scale:.6g}")
print(f"the artifact        mean {found.mean():.6g}")
print(f"largest difference  {np.abs(difference).max():.6g}")
print(f"relative rms error  {np.sqrt(np.mean(difference**2)) / scale:.6g}")
if found.ndim == 4:
    per_channel = np.sqrt(np.mean(difference**2, axis=(0, 2, 3))) / scale
    worst = np.argsort(per_channel)[::-1][:5]
    print("worst channels     ", ", ".join(f"{i}: {per_channel[i]:.3g}" for i in worst))
'''


def write_reproducer(folder: Path, network: Network, stretch: Stretch, matches: Mapping[Node, Match], row: Row) -> None:
    """Write operator.pt2, input.npz, artifact.npz, about.json and run.py; an older reproducer there is replaced.

    The inputs are the artifact's own tensors, so that what differs is the fault of these operators alone.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    given: dict[str, torch.Tensor] = {}
    for node in stretch.inputs:
        right = network.values[node]
        value = torch.from_numpy(np.ascontiguousarray(matches[node].value)) if node in matches else right
        given[node.name] = value.to(right.dtype).contiguous()
    module = module_of(network, stretch)
    with torch.no_grad():
        torch.export.save(torch.export.export(module, tuple(given.values())), folder / "operator.pt2")
    np.savez(folder / "input.npz", allow_pickle=False, **{name: value.numpy() for name, value in given.items()})
    np.savez(folder / "artifact.npz", output=np.ascontiguousarray(matches[stretch.result].value))
    facts = {"operators": row.stretch, "op": row.op, "tensor": row.tap, "kind": row.kind, "own_error": row.own}
    (folder / "about.json").write_text(json.dumps(facts, indent=2) + "\n")
    (folder / "run.py").write_text(_RUN.replace("__NODES__", ", ".join(row.stretch)))
