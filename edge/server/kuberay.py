"""A RayService for KubeRay: the same applications as `edge serve` runs, on a Kubernetes cluster.

The fields are those of the custom resource ray.io/v1 RayService. KubeRay 1.5.1 or later is needed for `authOptions`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from edge.artifact import write_atomic
from edge.errors import MissingError, UsageError
from edge.server.config import ModelConfig, ServerConfig
from edge.server.kube_image import dockerfile, images_models
from edge.server.kube_pods import PORT, TOKENS_FOLDER, groups, head_group, worker_group
from edge.server.parts import parts

RAY = "2.60.0"  # the kit's pin
TOKENS_FILE = "tokens.json"
_NAME = re.compile(r"[a-z]([a-z0-9-]{0,45}[a-z0-9])?")  # KubeRay's limit for what other names are made from
_CPUS = 1.0  # of a replica that asks for none
_HEADER = """\
# Made by `edge serve --kuberay`. Before `kubectl apply -f {file}`, with KubeRay 1.5.1 or later in the cluster:
#   docker build -f {dockerfile} -t {image} . && docker push {image}
#   kubectl create secret generic {name}-tokens --from-file={tokens}={source}
#   kubectl create secret tls {name}-tls --cert={certificate} --key={key}
# Nothing has measured the memory below on your models; `kubectl top pod` does.
"""


@dataclass(frozen=True, slots=True)
class Cluster:
    """What a configuration of `edge serve` does not know: names in the cluster, and the memory of a worker's core."""

    name: str = "edge"
    image: str = "edge-server:latest"
    host: str = "edge.example.com"
    ingress_class: str = "nginx"
    ingress_namespace: str = "ingress-nginx"
    gib_per_cpu: int = 4

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise UsageError(f"name {self.name!r} is not one for KubeRay; use up to 47 of a-z, 0-9 and '-', a-z first")


def write_kuberay(config: ServerConfig, path: Path, cluster: Cluster = Cluster()) -> tuple[Path, Path]:
    """Write the manifest and, beside it, the Dockerfile of its image; return both paths.

    The sources of `config` are relative to this folder. Raises UsageError for a configuration that is insecure or names
    files outside this folder, MissingError for a model without weights or without PyYAML, StoreError.
    """
    if path.suffix not in (".yaml", ".yml"):
        raise UsageError(f"{path} is no name of a manifest; end it with .yaml")
    docker_path = path.with_suffix(".Dockerfile")
    documents = kuberay(config, cluster)
    text = dockerfile(config.models, cluster.image, path, docker_path)
    header = _HEADER.format(
        file=path,
        dockerfile=docker_path,
        image=cluster.image,
        name=cluster.name,
        tokens=TOKENS_FILE,
        source=config.tokens,
        certificate=config.certificate,
        key=config.key,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, (header + _dump(documents)).encode())
    write_atomic(docker_path, text.encode())
    return path, docker_path


def kuberay(config: ServerConfig, cluster: Cluster) -> list[dict[str, Any]]:
    """Return the documents: the RayService, its Ingress, and the policy that lets only the ingress reach it."""
    if config.insecure:
        raise UsageError("a cluster is no loopback: give --tokens, --certificate and --key in place of --insecure")
    models = tuple(msgspec.structs.replace(model, cpus=model.cpus or _CPUS) for model in images_models(config.models))
    return [_ray_service(config, models, cluster), _ingress(config, cluster), _network_policy(cluster)]


def serve_config(config: ServerConfig, models: Sequence[ModelConfig]) -> dict[str, Any]:
    """Return what Ray Serve's REST interface takes (ServeDeploySchema)."""
    settled = msgspec.structs.replace(config, models=tuple(models))
    applications = [
        {
            "name": part.name,
            "route_prefix": part.route,
            "import_path": f"edge.server.application:{part.kind}_application",
            "args": part.settings,
        }
        for part in parts(settled, f"{TOKENS_FOLDER}/{TOKENS_FILE}")
    ]
    return {
        "proxy_location": "EveryNode",
        "http_options": {"host": "0.0.0.0", "port": PORT},
        "logging_config": {"encoding": "JSON", "enable_access_log": False, "log_level": "INFO"},
        "applications": applications,
    }


def _labels(cluster: Cluster) -> dict[str, str]:
    return {"app.kubernetes.io/part-of": "edge-server", "app.kubernetes.io/instance": cluster.name}


def _ray_service(config: ServerConfig, models: Sequence[ModelConfig], cluster: Cluster) -> dict[str, Any]:
    secret, drain_s = f"{cluster.name}-tokens", math.ceil(config.drain_seconds)
    found = list(groups(models))
    workers = [
        worker_group(
            group, cluster.image, secret, _labels(cluster), gib=cluster.gib_per_cpu * group.cpus, drain_s=drain_s
        )
        for group in found
    ]
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayService",
        "metadata": {"name": cluster.name, "labels": _labels(cluster)},
        "spec": {
            "serveConfigV2": _dump([serve_config(config, models)]),
            "excludeHeadPodFromServeSvc": True,
            "rayClusterDeletionDelaySeconds": max(60, drain_s),  # of the old cluster, after an update
            "rayClusterConfig": {
                "rayVersion": RAY,
                "authOptions": {"mode": "token"},
                "enableInTreeAutoscaling": any(group.most > group.least for group in found),
                "autoscalerOptions": {"idleTimeoutSeconds": 300},
                "headGroupSpec": head_group(cluster.image, secret, _labels(cluster)),
                "workerGroupSpecs": workers,
            },
        },
    }


def _ingress(config: ServerConfig, cluster: Cluster) -> dict[str, Any]:
    """Return the Ingress, which ends TLS. Only /v2 goes through: /metrics and Ray's /-/ stay inside."""
    longest_s = math.ceil(max(model.timeout_ms for model in config.models) / 1e3) + 10
    backend = {"service": {"name": f"{cluster.name}-serve-svc", "port": {"number": PORT}}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {
            "name": cluster.name,
            "labels": _labels(cluster),
            "annotations": {
                "nginx.ingress.kubernetes.io/proxy-body-size": str(config.limits.body_bytes),
                "nginx.ingress.kubernetes.io/proxy-read-timeout": str(longest_s),
                "nginx.ingress.kubernetes.io/ssl-redirect": "true",
            },
        },
        "spec": {
            "ingressClassName": cluster.ingress_class,
            "tls": [{"hosts": [cluster.host], "secretName": f"{cluster.name}-tls"}],
            "rules": [
                {
                    "host": cluster.host,
                    "http": {"paths": [{"path": "/v2", "pathType": "Prefix", "backend": backend}]},
                }
            ],
        },
    }


def _network_policy(cluster: Cluster) -> dict[str, Any]:
    """Return who may reach the pods: each other, the ingress on Serve's port, KubeRay's operator on the head's API."""
    operator = {"app.kubernetes.io/component": "kuberay-operator"}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": cluster.name, "labels": _labels(cluster)},
        "spec": {
            "podSelector": {"matchLabels": _labels(cluster)},
            "policyTypes": ["Ingress"],
            "ingress": [
                {"from": [{"podSelector": {"matchLabels": _labels(cluster)}}]},
                {
                    "from": [
                        {
                            "namespaceSelector": {
                                "matchLabels": {"kubernetes.io/metadata.name": cluster.ingress_namespace}
                            }
                        }
                    ],
                    "ports": [{"protocol": "TCP", "port": PORT}],
                },
                {
                    "from": [{"namespaceSelector": {}, "podSelector": {"matchLabels": operator}}],
                    "ports": [{"protocol": "TCP", "port": 8265}],
                },
            ],
        },
    }


def _dump(documents: Sequence[dict[str, Any]]) -> str:
    try:
        import yaml
    except ImportError:
        raise MissingError("PyYAML is not installed: pip install 'edge-deployment-kit[server]'") from None

    class Dumper(yaml.SafeDumper):
        """Write text of several lines as it is, and every list where it stands."""

        def ignore_aliases(self, data: Any) -> bool:
            return True

    def represent(dumper: yaml.SafeDumper, text: str) -> Any:
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)

    Dumper.add_representer(str, represent)
    written: str = yaml.dump_all(documents, Dumper=Dumper, sort_keys=False, width=1000)
    return written
