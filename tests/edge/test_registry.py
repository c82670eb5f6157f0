import pytest

from convert.targets import TARGETS
from edge.errors import EdgeError, UnknownName
from edge.registry import Registry
from edge.runtimes import RUNTIMES
from edge.tasks import TASKS
from edge.zoo import MODELS


def test_a_name_is_taken_once():
    registry = Registry("thing", "edge.profile")
    registry.add("a", 1)
    with pytest.raises(EdgeError, match="defined twice"):
        registry.add("a", 2)
    assert registry["a"] == 1
    with pytest.raises(UnknownName, match="unknown thing 'b'"):
        registry["b"]


@pytest.mark.parametrize("registry", [MODELS, TARGETS, TASKS, RUNTIMES], ids=["models", "targets", "tasks", "runtimes"])
def test_registries_find_their_files(registry):
    assert len(registry) >= 2
    assert list(registry) == sorted(registry)


@pytest.mark.parametrize("name", list(MODELS))
def test_a_model_is_complete(name):
    model = MODELS[name]
    assert model.graph or model.network
    assert model.contract.task in TASKS
    assert model.contract.outputs
    assert model.summary
    assert model.licence
    assert not model.companion or model.companion in MODELS
    assert bool(model.files) == (model.graph is not None)
    assert model.files or model.checkpoint_hint


@pytest.mark.parametrize("name", list(TARGETS))
def test_a_target_is_complete(name):
    target = TARGETS[name]
    assert name == target.id
    assert name.split("-", 1)[0] in RUNTIMES
    assert target.precisions
    assert target.status() == "ready" or target.status().startswith("needs ")
