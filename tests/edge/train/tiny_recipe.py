"""A recipe of a few numbers that has all that a training must bring back: norms, dropout, a part that is thrown away.

`python tiny_recipe.py OUT [resume] [--slow]` trains it in a process of its own.
"""

import sys
import time
from pathlib import Path

import msgspec
import numpy as np
import torch
from torch import nn

from edge.train.fit import Request, fit
from edge.train.machine import Machine
from edge.train.plan import Plan, SourceRecord
from edge.train.recipes import DataSource, Recipe
from edge.train.study import Learner, Stacked, Study

CPU = Machine(accelerator="cpu")
PLAN = Plan(steps=12, batch=4, lr=1e-2, ema=0.9, evaluate_every=6)


class TinyLearner(Learner):
    """A network with norm and dropout, and a projector that the checkpoint is without."""

    def __init__(self):
        super().__init__()
        self.network = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 1))
        self.projector = nn.Linear(1, 2)
        self.delay = 0.0

    def forward(self, batch):
        time.sleep(self.delay)
        answer = self.network(batch["x"])
        return {
            "l2": (answer - batch["y"]).square().mean(),
            "projected": 0.1 * (self.projector(answer) - batch["y"]).square().mean(),
        }


class Sums:
    """Rows of three numbers, and their sum."""

    def __init__(self, seed):
        self.seed = seed

    def draw(self, place):
        x = torch.from_numpy(np.random.default_rng((self.seed, place)).normal(size=3).astype(np.float32))
        return {"x": x, "y": x.sum(0, keepdim=True)}


def prepare(setting, *, delay=0.0):
    learner = TinyLearner()
    learner.delay = delay
    held_out = Stacked(Sums(setting.plan.seed + 1)).batch(range(64))

    def evaluate(network, device):
        with torch.no_grad():
            error = (network(held_out["x"].to(device)).cpu() - held_out["y"]).square().mean()
        return {"fit": float(1 / (1 + error))}

    record = SourceRecord(name="sums", licence="none", training=0, held_out=64, sha256="")
    zero = float(1 / (1 + held_out["y"].square().mean()))
    return Study(
        learner=learner, stream=Stacked(Sums(setting.plan.seed)), evaluate=evaluate, data=(record,),
        references=lambda _: {"always zero": zero}, rate_of=lambda name: 0.5 if name.startswith("projector") else 1.0,
    )  # fmt: skip


def tiny(**changes):
    given = {
        "name": "tiny", "summary": "sums", "model": "selfie-segmentation", "metric": "fit", "plan": PLAN,
        "sources": (DataSource(name="sums", licence="none"),), "losses": ("L2",), "prepare": prepare,
    }  # fmt: skip
    return Recipe(**{**given, **changes})


def train(out, *, recipe=None, plan=PLAN, machine=CPU, bar=None, **options):
    request = Request(recipe=recipe or tiny(), out=out, plan=plan, **options)
    return fit(request, machine=machine, progress=lambda _: None, bar=bar)


if __name__ == "__main__":
    torch.set_num_threads(1)
    train(
        Path(sys.argv[1]),
        recipe=tiny(prepare=lambda setting: prepare(setting, delay=0.02 if "--slow" in sys.argv else 0.0)),
        plan=msgspec.structs.replace(PLAN, steps=60),
        machine=Machine(accelerator="cpu", devices="2" if "--two" in sys.argv else "1"),
        resume="--resume" in sys.argv,
        keep_every=7,
    )
