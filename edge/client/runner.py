"""One call that runs a model where the policy says: on the device, on the server, or on both."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
from numpy.typing import NDArray

from edge.artifact import Artifact, read_manifest
from edge.client.answers import Answer, SideAnswer
from edge.client.background import Background
from edge.client.breaker import Clock
from edge.client.device import DeviceProvider, NetworkProvider, device_here, kept, network_to
from edge.client.endpoint import Endpoint
from edge.client.errors import CallFailed, DeadlineMissed, Unavailable
from edge.client.execution import Execution
from edge.client.local import Local
from edge.client.policy import Consent, DataClass, Policy
from edge.client.profiled import Profiled, read_profiled
from edge.client.remote import Remote
from edge.client.sides import run_device, run_server
from edge.client.situation import with_device, with_server
from edge.client.smoothing import DeviceEstimates
from edge.client.transport import now_ms
from edge.client.work import Work
from edge.contract import Contract
from edge.errors import UsageError
from edge.serve.call import Call, Decision, Device, Mode, Network, State
from edge.serve.policy import decide
from edge.tasks import Image, Region

Given = Image | Mapping[str, NDArray[Any]]
_CODERS = 2  # threads that encode pictures and decode answers


class FallbackRunner:
    """An artifact, an endpoint, and the policy between them; close it, or use it in a `with`.

    `artifact` None has no device's side; `endpoint` None no server's. `contract` is that of the server's model, where
    it is another than the artifact's. `profile` is a profile.json of the artifact on this device. `device` and
    `network` are asked at most once a second. `clock` is in milliseconds and never goes back.

    Consent is unset, which is denied, until the app sets `consent` to what its user said. Thread-safe.
    """

    def __init__(
        self,
        artifact: Artifact | Path | None,
        endpoint: Endpoint | None = None,
        policy: Policy | None = None,
        *,
        contract: Contract | None = None,
        profile: Path | None = None,
        device: DeviceProvider = device_here,
        network: NetworkProvider | None = None,
        clock: Clock = lambda: time.monotonic() * 1e3,
    ) -> None:
        found = read_manifest(artifact) if isinstance(artifact, Path) else artifact
        own = None if found is None else found.manifest.contract
        self.policy = policy or Policy(mode="only-on-device" if found is None else found.manifest.fallback.policy)
        self._clock, self._consent, self._closed = clock, _unset(), False
        self._profiled = read_profiled(profile, found) if profile and found else Profiled()
        self._device = kept(device, Device(), clock)
        self._network = kept(network or network_to(endpoint), Network(), clock)
        self._estimates = DeviceEstimates(self._profiled.p90_ms)
        self._states: dict[Mode, State] = {}
        self._executions: set[Execution] = set()
        self._coders = ThreadPoolExecutor(_CODERS, thread_name_prefix="edge-client-coder")
        self._local = Local(found, own) if found and own else None
        self._remote = self._connect(endpoint, contract or own)
        self._background = Background("edge-client")

    def __call__(
        self,
        given: Given,
        *,
        deadline_ms: float | None = None,
        data_class: DataClass | None = None,
        region: Region | None = None,
        mode: Mode | None = None,
        punctual: bool = False,
    ) -> Answer:
        """Run the model once on a picture (H, W, 3), RGB, or on named tensors; what is not given is the policy's.

        `punctual` fails at once where the policy expects to miss the deadline. Raises Unavailable, CallFailed,
        DeadlineMissed; InputError and ContractError for an input that does not fit.
        """
        self._check_open()
        if self._background.here:
            raise UsageError("a provider must not call its own runner")
        asked = self._asked(deadline_ms, data_class, mode)
        return self._background.wait(self._call(Work(given, region), asked, now_ms(), punctual))

    async def ask(
        self,
        given: Given,
        *,
        deadline_ms: float | None = None,
        data_class: DataClass | None = None,
        region: Region | None = None,
        mode: Mode | None = None,
        punctual: bool = False,
    ) -> Answer:
        """Do the same from an event loop; cancelling it cancels the call."""
        self._check_open()
        asked = self._asked(deadline_ms, data_class, mode)
        work = self._call(Work(given, region), asked, now_ms(), punctual)
        return await asyncio.wrap_future(self._background.start(work))

    @property
    def device_contract(self) -> Contract | None:
        """Return the artifact's contract, None without one."""
        return self._local.contract if self._local else None

    @property
    def consent(self) -> Consent:
        """Return what the user said to uploads."""
        return self._consent

    @consent.setter
    def consent(self, consent: Consent) -> None:
        """Set it. Taken back, requests on their way are cancelled and connections closed before this returns."""
        if consent not in ("granted", "denied", "unset"):
            raise UsageError(f"consent is {consent!r}; it is granted, denied or unset")
        self._consent = consent
        if consent != "granted" and not self._closed:
            withdrawal = self._background.start(self._withdraw())
            if not self._background.here:
                withdrawal.result()

    @property
    def abandoned(self) -> int:
        """Return how many device runs compute for calls that no longer need them."""
        return self._local.abandoned if self._local else 0

    def close(self) -> None:
        """Cancel what runs, close every connection and end every thread."""
        if self._closed:
            return
        self._closed = True
        self._background.wait(self._shut())
        self._background.close()
        if self._local is not None:
            self._local.close()
        self._coders.shutdown(cancel_futures=True)

    def __enter__(self) -> FallbackRunner:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _connect(self, endpoint: Endpoint | None, contract: Contract | None) -> Remote | None:
        if endpoint is None:
            return None
        if contract is None:
            raise UsageError(f"{endpoint.model}: without an artifact, give the contract of the server's model")
        return Remote(endpoint, contract, self.policy, self._clock, self._coders)

    def _check_open(self) -> None:
        if self._closed:
            raise UsageError("this runner is closed; make another")

    def _asked(self, deadline_ms: float | None, data_class: DataClass | None, mode: Mode | None) -> Call:
        """Return what is known of a call on the caller's thread, which the providers are asked on."""
        return Call(
            mode=mode or self.policy.mode,
            consent=self._consent,
            data_class=data_class or self.policy.data_class,
            metered_cap_bytes=self.policy.metered_cap_bytes,
            deadline_ms=self.policy.deadline_ms if deadline_ms is None else deadline_ms,
            device=self._device(),
            network=self._network(),
        )

    async def _call(self, work: Work, asked: Call, began: float, punctual: bool) -> Answer:
        if work.image is None and self._local is not None:
            work.inputs(self._local.contract)
        call, decision = await self._decide(asked, work, began)
        execution = Execution(decision, call.deadline_ms, began)
        if decision.run_on == "unavailable" or (punctual and decision.deadline_miss_expected):
            raise _unavailable(decision)
        self._executions.add(execution)
        try:
            answer = await execution.run(
                {
                    "device": functools.partial(self._on_device, work, call, execution),
                    "server": functools.partial(self._on_server, work, call, execution),
                }
            )
        except (CallFailed, DeadlineMissed) as failure:
            failure.attempts = tuple(execution.attempts)
            raise
        finally:
            self._executions.discard(execution)
        return _answer(answer, execution)

    async def _decide(self, asked: Call, work: Work, began: float) -> tuple[Call, Decision]:
        """Ask the policy; a picture is encoded before that only where its estimated size would close the server."""
        if self._remote is None:
            return self._settle(self._known(asked, 0), began)
        call = self._known(asked, await self._remote.payload_bytes(work, exact=False))
        decision, _ = decide(call, self._state(call), int(self._clock()))
        if decision.server_blocked == "over_metered_cap":
            call = self._known(asked, await self._remote.payload_bytes(work, exact=True))
        return self._settle(call, began)

    def _settle(self, call: Call, began: float) -> tuple[Call, Decision]:
        """Decide with the time that is left and the consent of this moment."""
        left = None if call.deadline_ms is None else max(call.deadline_ms - (now_ms() - began), 0.0)
        call = msgspec.structs.replace(call, deadline_ms=left, consent=self._consent)
        decision, self._states[call.mode] = decide(call, self._state(call), int(self._clock()))
        return call, decision

    def _state(self, call: Call) -> State:
        return self._states.get(call.mode, State())

    def _known(self, call: Call, payload_bytes: int) -> Call:
        """Return the call with what is known of both sides now."""
        now = self._clock()
        call = with_device(call, self._local, self._profiled, self._estimates, now)
        return call if self._remote is None else with_server(call, self._remote, payload_bytes, now)

    async def _on_device(self, work: Work, call: Call, execution: Execution) -> SideAnswer:
        if self._local is None:
            raise UsageError("there is no artifact")
        return await run_device(self._local, self._estimates, work, call, execution, self._clock)

    async def _on_server(self, work: Work, call: Call, execution: Execution) -> SideAnswer:
        if self._remote is None:
            raise UsageError("there is no endpoint")
        return await run_server(self._remote, work, call, execution, self._closed_gate)

    def _closed_gate(self) -> str:
        return "" if self._consent == "granted" else f"consent_{self._consent}"

    async def _withdraw(self) -> None:
        asking = [task for execution in self._executions if (task := execution.tasks.get("server"))]
        for task in asking:
            task.cancel()
        if asking:
            await asyncio.wait(asking)
        if self._remote is not None:
            await self._remote.disconnect()

    async def _shut(self) -> None:
        here = asyncio.current_task()
        running = [task for task in asyncio.all_tasks() if task is not here]
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)
        if self._remote is not None:
            await self._remote.disconnect()


def _unset() -> Consent:
    return "unset"


def _unavailable(decision: Decision) -> Unavailable | DeadlineMissed:
    if decision.reason == "deadline_passed":
        return DeadlineMissed("the deadline had passed before the call began", decision, ())
    if decision.run_on != "unavailable":
        return DeadlineMissed("the policy expects no answer before the deadline", decision, ())
    sides = f"device: {decision.device_blocked or 'open'}, server: {decision.server_blocked or 'open'}"
    return Unavailable(f"the model may run nowhere ({sides}); docs/policy.md lists the reasons", decision)


def _answer(found: SideAnswer, execution: Execution) -> Answer:
    return Answer(
        result=found.result,
        outputs=found.outputs,
        ran_on=found.side,
        reason=execution.decision.reason,
        decision=execution.decision,
        attempts=tuple(execution.attempts),
        model=found.model,
        model_version=found.model_version,
        model_sha256=found.model_sha256,
        total_ms=now_ms() - execution.began,
    )
