"""A request that is cancelled leaves no connection, at whatever moment it is cancelled: not even one just made."""

from __future__ import annotations

import asyncio
import gc
import time
from pathlib import Path

import pytest
from oip_server import serving

from edge.client import Endpoint
from edge.client.background import Background
from edge.client.transport import Transport, Wire, now_ms

TURNS = 20  # of the loop; a plain request is answered within about ten, one over TLS within about fifteen


async def _cancelled_after(turns: int, endpoint: Endpoint) -> bool:
    """Ask, cancel the question after some turns of the loop, and say whether that came before the answer."""
    transport = Transport(endpoint)
    asking = asyncio.ensure_future(transport.get(Wire(now_ms()), connect_s=5))
    for turn in range(turns):
        await asyncio.sleep(0)
        if turn > 3:
            time.sleep(0.002)  # the loop is to be late, as on a busy machine
    asking.cancel()
    await asyncio.wait([asking])
    await transport.disconnect()
    return asking.cancelled()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_question_cancelled_at_any_moment_leaves_no_connection(scheme: str, certificate: tuple[Path, Path]) -> None:
    """A transport that nobody closed is a ResourceWarning when it is collected, which pytest makes an error."""
    cert, key = certificate
    tls = {"ssl_certfile": str(cert), "ssl_keyfile": str(key)} if scheme == "https" else {}
    cancelled = []
    with serving(**tls) as server:
        endpoint = Endpoint(f"{scheme}://localhost:{server.port}", "bright", ca_file=cert if tls else None)
        for turns in range(TURNS):
            background = Background("edge-client")
            cancelled.append(background.wait(_cancelled_after(turns, endpoint)))
            background.close()
    gc.collect()
    assert cancelled[0]
    assert sum(cancelled) >= 8
