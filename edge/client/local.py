"""The device's side: one artifact on one thread, whose runs can be abandoned but not interrupted.

Runtimes cannot be stopped in the middle of an inference. A call that no longer needs its run leaves it: it is counted,
computes to its end, and the next run waits for it. No second thread is started, so that what hangs takes one thread.
"""

from __future__ import annotations

import queue
import threading
from concurrent.futures import Future
from dataclasses import dataclass

from edge.artifact import Artifact
from edge.client.answers import SideAnswer, Spans
from edge.client.errors import DeviceBusy
from edge.client.transport import now_ms
from edge.client.work import Work
from edge.contract import Contract
from edge.errors import MissingError, Unexecutable
from edge.runtimes import Session, open_session

MOST_WAITING = 4  # runs, with the one that computes
_JOIN_S = 5.0  # a run that hangs longer than that keeps its daemon thread until the process ends


@dataclass(frozen=True, slots=True)
class LocalRun:
    """What a run returned, and how long it took without waiting; `first` paid for loading and warming up."""

    answer: SideAnswer
    spans: Spans
    duration_ms: float
    first: bool


class Local:
    """An artifact that is opened by its first run, on its thread."""

    def __init__(self, artifact: Artifact, contract: Contract) -> None:
        self.artifact, self.contract = artifact, contract
        self.present = is_present(artifact)
        self.supported = True  # until its runtime says otherwise
        self.loaded = False
        self.abandoned = 0  # runs that compute for nobody
        self._waiting = 0
        self._jobs: queue.SimpleQueue[tuple[Work, Future[LocalRun]] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._session: Session | None = None
        self._guard = threading.Lock()

    def submit(self, work: Work) -> Future[LocalRun]:
        """Queue a run; raises DeviceBusy where too many wait. The future raises what the runtime raises."""
        with self._guard:
            if self._waiting >= MOST_WAITING:
                raise DeviceBusy(
                    f"the device still runs {self._waiting} earlier calls, {self.abandoned} of them for nobody; "
                    "call less often, or give a later deadline"
                )
            self._waiting += 1
        job: Future[LocalRun] = Future()
        job.add_done_callback(self._left)
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="edge-client-device", daemon=True)
            self._thread.start()
        self._jobs.put((work, job))
        return job

    def abandon(self, job: Future[LocalRun]) -> bool:
        """Give a run up, and say whether it computes on as it had begun."""
        if job.cancel() or job.done():
            return False
        with self._guard:
            self.abandoned += 1
        job.add_done_callback(self._returned)
        return True

    def close(self) -> None:
        """End the thread after the run that it is in."""
        self._jobs.put(None)
        if self._thread is not None:
            self._thread.join(_JOIN_S)

    def _left(self, _: Future[LocalRun]) -> None:
        with self._guard:
            self._waiting -= 1

    def _returned(self, _: Future[LocalRun]) -> None:
        with self._guard:
            self.abandoned -= 1

    def _work(self) -> None:
        while (item := self._jobs.get()) is not None:
            work, job = item
            if not job.set_running_or_notify_cancel():
                continue
            try:
                result = self._run(work)
            except Exception as error:  # of any runtime
                job.set_exception(error)
            else:
                job.set_result(result)
            del work, job, item  # the picture is not kept until the next call
        self._session = None

    def _run(self, work: Work) -> LocalRun:
        first = self._session is None
        session = self._session or self._open()
        began = now_ms()
        inputs, _ = work.inputs(self.contract)
        prepared = now_ms()
        outputs = session.run(inputs)
        ran = now_ms()
        result = work.decode(outputs, self.contract)
        ended = now_ms()
        manifest = self.artifact.manifest
        answer = SideAnswer(
            side="device", outputs=outputs, result=result, model=manifest.model, model_version="",
            model_sha256=manifest.source.sha256,
        )  # fmt: skip
        spans = Spans(prepare_ms=prepared - began, inference_ms=ran - prepared, decode_ms=ended - ran)
        return LocalRun(answer, spans, ended - began, first)

    def _open(self) -> Session:
        try:
            self._session = open_session(self.artifact)
        except (Unexecutable, MissingError):
            self.supported = False
            raise
        self.loaded = True
        return self._session


def is_present(artifact: Artifact) -> bool:
    """Say whether every file of an artifact is there with its size."""
    files = ((artifact.root / entry.name, entry.bytes) for entry in artifact.manifest.files)
    return all(path.is_file() and path.stat().st_size == size for path, size in files)
