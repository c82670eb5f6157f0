"""The output folder of a deploy: faults of the disk, and kills between two moves."""

import errno
import os
import shutil

import pytest

from edge.disk import disk_errors, first_reason
from edge.errors import StoreError, UsageError
from edge.output import exclusive, new_folder, publish_folder, staging_folder


def folder(path, text):
    path.mkdir(parents=True)
    (path / "name").write_text(text)
    return path


@pytest.mark.parametrize(
    ("number", "mend"),
    [
        (errno.ENOSPC, "free some space or look elsewhere"),
        (errno.EDQUOT, "free some space or look elsewhere"),
        (errno.EACCES, "allow it or look elsewhere"),
        (errno.EROFS, "allow it or look elsewhere"),
        (errno.ENOTDIR, "move what is at out/x away or look elsewhere"),
    ],
)
def test_each_fault_of_a_disk_has_its_mend(tmp_path, number, mend):
    with pytest.raises(StoreError) as caught, disk_errors(tmp_path, "look elsewhere"):
        raise OSError(number, os.strerror(number), "out/x")
    assert str(caught.value) == f"cannot write into {tmp_path}: {os.strerror(number)}; {mend}"


def test_other_faults_are_left_alone(tmp_path):
    with pytest.raises(ConnectionResetError), disk_errors(tmp_path, "look elsewhere"):
        raise ConnectionResetError(errno.ECONNRESET, "reset")


def test_copytree_reasons_are_one_line(tmp_path):
    (folder(tmp_path / "a", "a") / "dangling").symlink_to("nowhere")
    with pytest.raises(shutil.Error) as caught:
        shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert "No such file or directory" in first_reason(caught.value)
    assert "\n" not in first_reason(caught.value)


def test_an_error_of_the_work_is_not_called_a_full_disk(tmp_path):
    with pytest.raises(FileNotFoundError), staging_folder(tmp_path):
        (tmp_path / "nowhere").read_text()
    assert not list(tmp_path.iterdir())


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="choose another --out"), exclusive(tmp_path / "file" / "out"):
        pass
    with pytest.raises(StoreError, match="File exists; move what is at .*file away"), exclusive(tmp_path / "file"):
        pass


def test_an_artifact_put_aside_by_a_killed_run_comes_back(tmp_path):
    folder(tmp_path / ".staging-killed" / "onnx-cpu@fp32.old", "old")
    folder(tmp_path / ".staging-killed" / "litert-cpu@fp32.old", "old")
    folder(tmp_path / "litert-cpu@fp32", "new")
    with staging_folder(tmp_path):
        pass
    assert (tmp_path / "onnx-cpu@fp32" / "name").read_text() == "old"
    assert (tmp_path / "litert-cpu@fp32" / "name").read_text() == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["litert-cpu@fp32", "onnx-cpu@fp32"]


def test_a_run_that_stops_between_the_moves_keeps_the_old_artifact(tmp_path):
    folder(tmp_path / "a", "old")
    with pytest.raises(FileNotFoundError), staging_folder(tmp_path) as staging:
        publish_folder(staging / "vanished", tmp_path / "a", staging / "a.old")
    assert (tmp_path / "a" / "name").read_text() == "old"


def test_a_finished_artifact_replaces_the_old_one(tmp_path):
    folder(tmp_path / "a", "old")
    with staging_folder(tmp_path) as staging:
        publish_folder(folder(staging / "new", "new"), tmp_path / "a", staging / "a.old")
    assert (tmp_path / "a" / "name").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_new_folder_appears_whole_or_not_at_all(tmp_path):
    out = tmp_path / "deep" / "out"
    with pytest.raises(FileExistsError), new_folder(out) as made:
        folder(folder(made, "half"), "again")
    assert not list(out.parent.iterdir())
    with new_folder(out) as made:
        folder(made.parent / "prepared", "work")
        folder(made, "whole")
        assert not out.exists()
    assert (out / "name").read_text() == "whole"
    assert [path.name for path in out.parent.iterdir()] == ["out"]
    with pytest.raises(UsageError, match="choose a new --out"), new_folder(out):
        pass
