"""The pods of a Ray cluster on Kubernetes: how large, how many, and what they may do."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from edge.server.config import ModelConfig

PORT = 8000
TOKENS_FOLDER = "/etc/edge/tokens"
USER = 1000
GPU = "nvidia.com/gpu"
GRACE_S = 30  # beyond the drain, for Ray's own processes to end
_HEAD_CPUS, _HEAD_GIB = 2, 8
_READABLE_BY_GROUP = 0o440
_ENVIRONMENT = {
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    # authOptions sets it too. Here it makes an operator that is too old to know authOptions fail, not run without it.
    "RAY_AUTH_MODE": "token",
    "RAY_USAGE_STATS_ENABLED": "0",
}


@dataclass(frozen=True, slots=True)
class Group:
    """Workers of one kind: what a pod has, and how many pods there are at least and at most."""

    name: str
    cpus: int
    gpus: int
    least: int
    most: int


def groups(models: Sequence[ModelConfig]) -> Iterator[Group]:
    """Yield a group for models without a GPU and one for those with; a pod holds the largest replica of its group.

    `least` pods have the processors for all replicas that always run; `most` hold all that may run even if no two
    models share a pod. Some pod always runs, as without one nobody would take the request that starts a replica.
    """
    for name, members in (
        ("cpu", [model for model in models if not model.gpus]),
        ("gpu", [model for model in models if model.gpus]),
    ):
        if not members:
            continue
        gpus = max(math.ceil(model.gpus) for model in members)
        cpus = max(math.ceil(model.cpus * (math.floor(gpus / model.gpus) if gpus else 1)) for model in members)
        needed = max(
            sum(model.cpus * model.min_replicas for model in members) / cpus,
            sum(model.gpus * model.min_replicas for model in members) / gpus if gpus else 0.0,
        )
        most = sum(math.ceil(model.max_replicas / _per_pod(model, cpus, gpus)) for model in members)
        least = min(max(1, math.ceil(needed - 1e-9)), most)
        yield Group(name, cpus, gpus, least, most)


def _per_pod(model: ModelConfig, cpus: int, gpus: int) -> int:
    by_cpus = math.floor(cpus / model.cpus + 1e-9)
    return min(by_cpus, math.floor(gpus / model.gpus + 1e-9)) if model.gpus else by_cpus


def head_group(image: str, secret: str, labels: dict[str, str]) -> dict[str, Any]:
    """Return the head's group. Models run on workers only: a busy model must not take the head's time."""
    ports = {"gcs-server": 6379, "dashboard": 8265, "client": 10001, "serve": PORT}
    container = _container("ray-head", image, {"cpu": str(_HEAD_CPUS), "memory": f"{_HEAD_GIB}Gi"}, ports)
    return {"rayStartParams": {"num-cpus": "0"}, "template": _template(container, secret, labels)}


def worker_group(
    group: Group, image: str, secret: str, labels: dict[str, str], *, gib: int, drain_s: int
) -> dict[str, Any]:
    """Return a group of workers; a pod that is to stop gets `drain_s` seconds without new requests first."""
    resources = {"cpu": str(group.cpus), "memory": f"{gib}Gi", **({GPU: str(group.gpus)} if group.gpus else {})}
    container = _container("ray-worker", image, resources, {"serve": PORT})
    # Not /v2/health/ready: it waits for every model, so that the update of one would take all others out of service.
    # KubeRay sends requests to a new cluster only when all its models run.
    container["readinessProbe"] = {
        "httpGet": {"path": "/v2/health/live", "port": PORT},
        "initialDelaySeconds": 10,
        "periodSeconds": 5,
        "timeoutSeconds": 2,
        "failureThreshold": 2,
    }
    container["lifecycle"] = {"preStop": {"exec": {"command": ["sleep", str(drain_s)]}}}
    template = _template(container, secret, labels)
    template["spec"] |= {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": drain_s + GRACE_S,
    }
    return {
        "groupName": group.name,
        "replicas": group.least,
        "minReplicas": group.least,
        "maxReplicas": group.most,
        "rayStartParams": {},
        "template": template,
    }


def _container(name: str, image: str, resources: dict[str, str], ports: dict[str, int]) -> dict[str, Any]:
    return {
        "name": name,
        "image": image,
        "env": [{"name": key, "value": value} for key, value in _ENVIRONMENT.items()],
        "ports": [{"name": key, "containerPort": port} for key, port in ports.items()],
        "resources": {"requests": dict(resources), "limits": dict(resources)},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [{"name": "tokens", "mountPath": TOKENS_FOLDER, "readOnly": True}],
    }


def _template(container: dict[str, Any], secret: str, labels: dict[str, str]) -> dict[str, Any]:
    return {
        "metadata": {"labels": dict(labels)},
        "spec": {
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": USER,
                "runAsGroup": USER,
                "fsGroup": USER,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
            "volumes": [{"name": "tokens", "secret": {"secretName": secret, "defaultMode": _READABLE_BY_GROUP}}],
        },
    }
