"""The metrics of this machine's replicas, as Ray's agent exports them for Prometheus."""

from __future__ import annotations

import asyncio
import urllib.error
import urllib.request

from edge.serve.errors import Busy

_SHOWN = ("edge_", "ray_edge_", "ray_serve_")
_TIMEOUT_S = 5.0


async def read_metrics() -> bytes:
    """Return the kit's and Serve's metrics in Prometheus's text format; raises Busy if the agent does not answer."""
    return await asyncio.get_running_loop().run_in_executor(None, _read)


def _read() -> bytes:
    import ray

    node = next(node for node in ray.nodes() if node["NodeID"] == ray.get_runtime_context().get_node_id())
    address = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    try:
        with urllib.request.urlopen(address, timeout=_TIMEOUT_S) as answer:
            lines = answer.read().splitlines(keepends=True)
    except (urllib.error.URLError, OSError) as error:
        raise Busy(f"the metrics' exporter of this machine does not answer: {error}", 5) from None
    return b"".join(line for line in lines if _name(line).startswith(_SHOWN))


def _name(line: bytes) -> str:
    """Return the metric that a line of the format is about."""
    words = line.decode(errors="replace").split(maxsplit=3)
    return words[2] if words[:1] == ["#"] and len(words) > 2 else (words or [""])[0]
