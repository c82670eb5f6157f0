"""Record what anny itself makes of a few bodies and poses: `python -m scripts.record_anny FOLDER`.

FOLDER holds anny 0.6.2, roma and trimesh, as `pip install --no-deps --target FOLDER anny==0.6.2 roma trimesh` leaves
them. Written: tests/golden/anny.json, which tests/edge/train/data/test_anny.py compares the kit's body with.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

GOLDEN = Path(__file__).resolve().parent.parent / "tests" / "golden" / "anny.json"
PHENOTYPES = (
    {"gender": 0.0, "age": 2 / 3, "muscle": 0.5, "weight": 0.5, "height": 0.5, "proportions": 0.5},
    {"gender": 1.0, "age": 0.9, "muscle": 0.3, "weight": 0.8, "height": 0.2, "proportions": 0.7},
    {"gender": 0.4, "age": 0.45, "muscle": 0.7, "weight": 0.1, "height": 0.9, "proportions": 0.2},
)
RACES = ((1.0, 0.0, 0.0), (0.0, 1.0, 1.0), (0.2, 0.3, 0.5))  # african, asian, caucasian
EVERY = 331  # of the base mesh's vertices
TURNED = ("root", "spine03", "neck01", "upperarm01.L", "lowerarm01.R", "wrist.L", "finger2-1.L", "upperleg01.R",
          "lowerleg01.L", "foot.R")  # fmt: skip


def main(folder: Path) -> None:
    """Write the golden file."""
    sys.path.append(str(folder))
    from anny import Anny, KeypointsRegressor
    from anny.models.model_data import RigConfig, TopologyConfig

    model: Any = Anny(
        rig=RigConfig(base_rig="makehuman", bone_orientation="blender"),
        topology=TopologyConfig(base_mesh="makehuman", nudity_edits=False, remove_unattached_vertices=False),
        phenotypes="all", pose_parameterization="local-bone", skinning_method="lbs",
        phenotype_blendshapes="original",
    )  # fmt: skip
    regressor = KeypointsRegressor.coco(model)
    numbers = [*range(0, 13380, EVERY), 14600, 14700, 18100, 18500, 18800, 19100]
    entries = []
    for phenotype, races in zip(PHENOTYPES, RACES, strict=True):
        given = {key: torch.tensor([value]) for key, value in phenotype.items()}
        given |= {
            key: torch.tensor([value]) for key, value in zip(("african", "asian", "caucasian"), races, strict=True)
        }
        pose = _pose(model, len(entries))
        found = model(pose_parameters=pose, phenotype_kwargs=given)
        transforms = found["bone_poses"] @ torch.linalg.inv(found["rest_bone_poses"])
        entries.append(
            {
                "phenotype": phenotype,
                "races": races,
                "rest": _rounded(found["rest_vertices"][0, numbers]),
                "transforms": {
                    name: _rounded(transforms[0, place, :3], 7) for place, name in enumerate(model.bone_labels)
                },
                "posed": _rounded(found["vertices"][0, numbers]),
                "keypoints": dict(zip(regressor.labels, _rounded(regressor(found)[0]), strict=True)),
            }
        )
    GOLDEN.write_text(json.dumps({"vertices": numbers, "bodies": entries}) + "\n")


def _pose(model: Any, seed: int) -> torch.Tensor:
    generator = np.random.default_rng(seed)
    pose = torch.eye(4).repeat(1, len(model.bone_labels), 1, 1)
    for name in TURNED:
        axis = generator.normal(0.0, 0.5, 3)
        turn = torch.linalg.matrix_exp(
            torch.tensor([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
        )
        pose[0, list(model.bone_labels).index(name), :3, :3] = turn.to(pose.dtype)
    return pose


def _rounded(values: torch.Tensor, digits: int = 6) -> list[Any]:
    return np.round(values.detach().double().numpy(), digits).tolist()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
