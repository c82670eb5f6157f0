"""Faults injected into child processes: each stays there and says what it was."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from edge.errors import ContractError, JobKilled, JobTimeout, TargetError
from edge.jobs import Job, allow_jobs, listening, progressing, run_job, stop_all


def echo(payload):
    return {"got": payload["value"], "pid": os.getpid()}


def work(payload):
    return {"sum": sum(progressing(range(payload["value"]), "adding"))}


def complain(payload):
    raise ContractError("the value is 7, expected 8")


def stumble(payload):
    print("the last words")
    raise RuntimeError("something odd\nwith a second line")


def crash(payload):
    print("about to crash", flush=True)
    os.abort()


def be_killed(payload):
    os.kill(os.getpid(), signal.SIGKILL)


def hang(payload):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    with open(payload["pids"], "w") as out:
        out.write(f"{os.getpid()} {child.pid}")
    time.sleep(600)


def litter(payload):
    folder = tempfile.mkdtemp()
    Path(folder, "weights.bin").write_bytes(bytes(1000))
    if payload["killed"]:
        be_killed(payload)
    return {"folder": folder}


def leave_without_answer(payload):
    os._exit(3)


def big(payload):
    return {"data": "x" * 5_000_000}


@pytest.fixture
def job(tmp_path, request):
    here = f"{request.path.parent}"

    def make(function, **options):
        payload = options.pop("payload", {})
        environment = {"PYTHONPATH": os.pathsep.join([here, os.environ.get("PYTHONPATH", "")])}
        name = f"{request.path.stem}:{function.__name__}"
        return Job(function=name, payload=payload, log=tmp_path / "job.log", environment=environment, **options)

    return make


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().split(") ")[1][0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(condition, seconds=10.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_result_comes_back_from_another_process(job):
    result = run_job(job(echo, payload={"value": [1, "ü"]}))
    assert result["got"] == [1, "ü"]
    assert result["pid"] != os.getpid()


def test_a_large_result_comes_back(job):
    assert len(run_job(job(big))["data"]) == 5_000_000


def test_a_job_tells_how_far_it_is(job):
    told = []
    with listening(lambda what, done, total: told.append((what, done, total))):
        assert run_job(job(work, payload={"value": 3})) == {"sum": 3}
    assert told == [("adding", 0, 3), ("adding", 1, 3), ("adding", 2, 3), ("adding", 3, 3)]
    assert run_job(job(work, payload={"value": 2})) == {"sum": 1}
    assert len(told) == 4
    assert list(progressing([1, 2], "in no job")) == [1, 2]


def test_a_known_error_keeps_its_class_and_message(job):
    with pytest.raises(ContractError, match=r"^the value is 7, expected 8$"):
        run_job(job(complain))


def test_any_other_exception_is_a_target_error_with_the_log(job):
    with pytest.raises(TargetError, match=r"RuntimeError: something odd; log [^\n]*:\n(.|\n)*something odd") as caught:
        run_job(job(stumble))
    assert type(caught.value) is TargetError


def test_the_cited_lines_are_this_runs_own(job, tmp_path):
    (tmp_path / "job.log").write_text("an earlier run failed\n")
    with pytest.raises(JobKilled, match="about to crash") as caught:
        run_job(job(crash))
    assert "earlier" not in str(caught.value)
    assert (tmp_path / "job.log").read_text().startswith("an earlier run failed\n")


def test_a_crash_is_named_with_the_last_words(job):
    with pytest.raises(JobKilled, match=r"died from SIGABRT(.|\n)*about to crash"):
        run_job(job(crash))


def test_a_kill_is_named(job):
    with pytest.raises(JobKilled, match="SIGKILL.*out-of-memory"):
        run_job(job(be_killed))


def test_an_exit_without_answer_is_an_error(job):
    with pytest.raises(TargetError, match="ended with code 3 and no result"):
        run_job(job(leave_without_answer))


def test_a_hang_ends_with_all_its_children(job, tmp_path):
    pids = tmp_path / "pids"
    with pytest.raises(JobTimeout, match="ran past its 2 s"):
        run_job(job(hang, payload={"pids": str(pids)}, timeout_s=2))
    wait_until(lambda: not any(alive(int(pid)) for pid in pids.read_text().split()))


def test_stop_all_ends_running_jobs_and_starts_no_more(job, tmp_path):
    pids = tmp_path / "pids"
    caught = []

    def run():
        try:
            run_job(job(hang, payload={"pids": str(pids)}))
        except JobKilled as error:
            caught.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    wait_until(lambda: pids.exists() and len(pids.read_text().split()) == 2)
    stop_all()
    thread.join(10)
    try:
        assert caught
        assert not any(alive(int(pid)) for pid in pids.read_text().split())
        with pytest.raises(JobKilled, match="not started"):
            run_job(job(echo, payload={"value": 1}))
    finally:
        allow_jobs()


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG exists on Linux only")
def test_a_job_dies_with_its_parent(tmp_path, request):
    pids = tmp_path / "pids"
    job = f"Job(function='test_jobs:hang', payload={{'pids': {str(pids)!r}}}, log=Path({str(tmp_path / 'log')!r}))"
    code = f"from pathlib import Path; from edge.jobs import Job, run_job; run_job({job})"
    path = os.pathsep.join([str(request.path.parent), str(request.config.rootpath)])
    parent = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path})
    wait_until(lambda: pids.exists() and len(pids.read_text().split()) == 2)
    parent.kill()
    parent.wait()
    child, grandchild = (int(pid) for pid in pids.read_text().split())
    wait_until(lambda: not alive(child))
    if alive(grandchild):
        os.kill(grandchild, signal.SIGKILL)  # only direct children are promised to the kernel


@pytest.mark.parametrize("killed", [False, True])
def test_temporary_files_of_a_job_go_with_it(job, tmp_path, monkeypatch, killed):
    """coremltools deletes its copy of a package at exit, a gigabyte for some models: `os._exit` never gets there."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    if killed:
        with pytest.raises(JobKilled):
            run_job(job(litter, payload={"killed": True}))
    else:
        folder = Path(run_job(job(litter, payload={"killed": False}))["folder"])
        assert folder.is_relative_to(tmp_path / "temporary")
    assert not list((tmp_path / "temporary").iterdir())
