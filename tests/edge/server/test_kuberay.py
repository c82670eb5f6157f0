"""The manifest's structure; that Ray takes its Serve configuration is checked with Ray's own schema."""

import json
import re
import tomllib
from pathlib import Path

import msgspec
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.errors import MissingError, UnknownName, UsageError
from edge.server.config import ModelConfig, configure
from edge.server.kube_pods import groups
from edge.server.kuberay import RAY, Cluster, write_kuberay

SAFE = {"certificate": "tls.crt", "key": "tls.key", "tokens": "tokens.json"}
ROOT = Path(__file__).parents[3]


def configured(models, **words):
    return configure([], {"models": models, **SAFE}, **words)


@pytest.fixture
def written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    artifact = tmp_path / "out" / "onnx-cpu@fp32"
    artifact.mkdir(parents=True)
    (artifact / "manifest.json").touch()

    def write(models, **words):
        config = configured(models, **words)
        path, docker = write_kuberay(config, Path("kube") / "edge.yaml", Cluster(host="models.example.org"))
        documents = {entry["kind"]: entry for entry in yaml.safe_load_all(path.read_text())}
        return documents, yaml.safe_load(documents["RayService"]["spec"]["serveConfigV2"]), docker.read_text()

    return write


MODELS = [
    {"source": "blazepose-full", "min_replicas": 2, "max_replicas": 6, "cpus": 1.5},
    {"source": "out/onnx-cpu@fp32", "name": "segment", "version": "2"},
    {"source": "out/old.pt2", "name": "segment", "version": "1"},
    {"source": "deeplabv3-mobilenet-v3-large", "checkpoint": "weights/deeplab.pth", "gpus": 0.25, "max_replicas": 9},
]


def test_applications(written):
    _, serve, _ = written(MODELS, limits={"rows": 4})
    found = {entry["name"]: entry for entry in serve["applications"]}
    assert {name: entry["route_prefix"] for name, entry in found.items()} == {
        "blazepose-full-1": "/v2/models/blazepose-full",
        "segment-2": "/v2/models/segment",
        "segment-1": "/v2/models/segment/versions/1",
        "deeplabv3-mobilenet-v3-large-1": "/v2/models/deeplabv3-mobilenet-v3-large",
        "index": "/",
    }
    assert found["index"]["args"]["applications"] == [name for name in found if name != "index"]
    told = found["segment-2"]["args"]
    assert told["versions"] == ["1", "2"]
    assert told["tokens"] == "/etc/edge/tokens/tokens.json"
    assert told["limits"]["rows"] == 4
    model = msgspec.convert(told["model"], ModelConfig)
    assert (model.source, model.label, model.cpus) == ("/srv/models/out/onnx-cpu@fp32", "segment", 1.0)
    assert found["deeplabv3-mobilenet-v3-large-1"]["args"]["model"]["checkpoint"] == "/srv/models/weights/deeplab.pth"


def test_pods(written):
    documents, _, _ = written(MODELS, drain_seconds=42.5)
    cluster = documents["RayService"]["spec"]["rayClusterConfig"]
    assert cluster["rayVersion"] == RAY
    assert cluster["authOptions"] == {"mode": "token"}
    assert cluster["enableInTreeAutoscaling"] is True
    cpu, gpu = cluster["workerGroupSpecs"]
    assert (cpu["groupName"], cpu["minReplicas"], cpu["replicas"], cpu["maxReplicas"]) == ("cpu", 3, 3, 8)
    assert (gpu["groupName"], gpu["minReplicas"], gpu["maxReplicas"]) == ("gpu", 1, 3)
    pods = [group["template"]["spec"] for group in (cluster["headGroupSpec"], cpu, gpu)]
    assert [pod["containers"][0]["resources"]["limits"] for pod in pods] == [
        {"cpu": "2", "memory": "8Gi"},
        {"cpu": "2", "memory": "8Gi"},
        {"cpu": "4", "memory": "16Gi", "nvidia.com/gpu": "1"},
    ]
    for pod in pods:
        [container] = pod["containers"]
        env = {entry["name"]: entry["value"] for entry in container["env"]}
        assert env["RAY_AUTH_MODE"] == "token"
        assert env["RAY_SERVE_ENABLE_HA_PROXY"] == env["RAY_SERVE_THROUGHPUT_OPTIMIZED"] == "1"
        assert {"name": "serve", "containerPort": 8000} in container["ports"]
        assert container["volumeMounts"] == [{"name": "tokens", "mountPath": "/etc/edge/tokens", "readOnly": True}]
        assert pod["volumes"] == [{"name": "tokens", "secret": {"secretName": "edge-tokens", "defaultMode": 0o440}}]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
    for pod in pods[1:]:
        assert pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"] == ["sleep", "43"]
        assert pod["terminationGracePeriodSeconds"] > 43
        assert pod["containers"][0]["readinessProbe"]["httpGet"] == {"path": "/v2/health/live", "port": 8000}
    assert "readinessProbe" not in pods[0]["containers"][0]  # KubeRay deploys only when the head is ready


def test_the_ingress_alone_is_let_in_and_ends_tls(written):
    documents, _, _ = written(MODELS)
    ingress, policy = documents["Ingress"], documents["NetworkPolicy"]["spec"]
    assert ingress["spec"]["tls"] == [{"hosts": ["models.example.org"], "secretName": "edge-tls"}]
    [rule] = ingress["spec"]["rules"]
    [path] = rule["http"]["paths"]
    assert (path["path"], path["backend"]["service"]["name"]) == ("/v2", "edge-serve-svc")
    assert ingress["metadata"]["annotations"]["nginx.ingress.kubernetes.io/proxy-body-size"] == str(8 << 20)
    pods = documents["RayService"]["spec"]["rayClusterConfig"]["workerGroupSpecs"][0]["template"]["metadata"]["labels"]
    assert policy["podSelector"]["matchLabels"] == pods
    assert policy["policyTypes"] == ["Ingress"]
    among, outside, operator = policy["ingress"]
    assert among == {"from": [{"podSelector": {"matchLabels": pods}}]}
    assert outside["ports"] == [{"protocol": "TCP", "port": 8000}]
    assert operator["ports"] == [{"protocol": "TCP", "port": 8265}]


def test_the_image_has_the_models_and_no_root(written):
    _, _, text = written([*MODELS, {"source": "a b.pt2", "name": "x"}])
    assert "RUN edge fetch blazepose-full\n" in text
    copied = [json.loads(line.split(" ", 2)[2]) for line in text.splitlines() if line.startswith("COPY --chown")]
    assert copied == [
        [name, f"/srv/models/{name}"] for name in ("out/onnx-cpu@fp32", "out/old.pt2", "weights/deeplab.pth", "a b.pt2")
    ]
    assert text.rstrip().endswith("USER 1000")
    assert re.search(r"edge-deployment-kit\[server,onnx,executorch\]==[0-9.]+", text)
    assert "-f kube/edge.Dockerfile" in text


def test_no_weights_stage_without_weights_to_fetch(written):
    _, _, text = written([{"source": "out/onnx-cpu@fp32", "name": "segment"}])
    assert "weights" not in text


@pytest.mark.parametrize(
    ("models", "error", "said"),
    [
        ([{"source": "/abs/model.pt2"}], UsageError, "outside this folder"),
        ([{"source": "../model.pt2"}], UsageError, "outside this folder"),
        ([{"source": "blazepose-ful"}], UnknownName, "blazepose-full"),
        ([{"source": "deeplabv3-mobilenet-v3-large"}], MissingError, "checkpoint"),
    ],
)
def test_what_no_image_can_have(written, tmp_path, models, error, said):
    with pytest.raises(error, match=said):
        written(models)
    assert not (tmp_path / "kube").exists()


def test_an_insecure_server_and_a_wrong_name_are_refused(tmp_path):
    insecure = configure([], {"models": MODELS, "insecure": True})
    with pytest.raises(UsageError, match="--tokens"):
        write_kuberay(insecure, tmp_path / "edge.yaml")
    with pytest.raises(UsageError, match="end it with .yaml"):
        write_kuberay(configured(MODELS), tmp_path / "edge.Dockerfile")
    for name in ("", "Edge", "1edge", "edge-", "e" * 48):
        with pytest.raises(UsageError, match="name"):
            Cluster(name=name)


def test_ray_is_the_one_that_the_kit_pins():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert f"ray[serve]=={RAY}" in extras["server"]


sizes = st.builds(
    lambda least, more, cpus, gpus: ModelConfig(
        source="m", min_replicas=least, max_replicas=max(1, least + more), cpus=cpus, gpus=gpus
    ),
    st.integers(0, 50),
    st.integers(0, 50),
    st.floats(0.1, 16),
    st.sampled_from([0.0, 0.1, 0.25, 0.3, 0.5, 1.0, 1.5, 4.0]),
)


@settings(max_examples=50)
@given(st.lists(sizes, min_size=1, max_size=4))
def test_pods_hold_their_replicas(models):
    found = {group.name: group for group in groups(models)}
    for name, members in (("cpu", [m for m in models if not m.gpus]), ("gpu", [m for m in models if m.gpus])):
        assert bool(members) == (name in found)
        if not members:
            continue
        group = found[name]
        assert 1 <= group.least <= group.most
        assert all(model.cpus <= group.cpus + 1e-9 and model.gpus <= group.gpus for model in members)
        assert group.most * group.cpus >= sum(model.cpus * model.max_replicas for model in members) - 1e-6
        assert group.most * group.gpus >= sum(model.gpus * model.max_replicas for model in members) - 1e-6


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of Ray's own modules
def test_ray_takes_the_configuration(written):
    from ray.serve.schema import ServeDeploySchema

    _, serve, _ = written(MODELS)
    taken = ServeDeploySchema.model_validate(serve)
    assert [entry.name for entry in taken.applications] == [entry["name"] for entry in serve["applications"]]
    unset = taken.model_dump(exclude_unset=True)
    assert {key for entry in unset["applications"] for key in entry} == {"name", "route_prefix", "import_path", "args"}
    assert unset.keys() == serve.keys()  # nothing that Ray ignores
