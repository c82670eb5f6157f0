"""The command line as a user meets it: a real process, its exit code and every line it prints."""

import errno
import json
import subprocess
import sys

import jsonschema
import pytest

from edge.cli import COMMANDS, cli, main

HEAVY = (
    "torch",
    "executorch",
    "litert_torch",
    "coremltools",
    "onnx",
    "onnxruntime",
    "mediapipe",
    "numpy",
    "PIL",
    "rich",
)
GROUPS = {"sdk": ("list", "install"), "token": ("new", "list", "revoke")}


def edge(*arguments, **options):
    command = [sys.executable, "-m", "edge", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **options)


def one_line(result):
    """Return the one line that an error prints."""
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    assert not result.stdout
    return lines[0]


def test_help_lists_every_command_and_imports_nothing_heavy():
    code = (
        "import sys\nfrom edge.cli import cli\n"
        "try: cli.main(['--help'], standalone_mode=False)\nfinally:\n"
        f"    print('HEAVY', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "HEAVY []" in done.stdout
    for name in COMMANDS:
        assert name in done.stdout


@pytest.mark.parametrize(
    "name",
    [
        *sorted(COMMANDS.keys() - GROUPS.keys()),
        *(f"{group} {word}" for group, words in GROUPS.items() for word in words),
    ],
)
def test_every_command_explains_itself(name):
    done = edge(*name.split(), "--help")
    assert done.returncode == 0
    assert "Usage:" in done.stdout
    assert "--json" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["deplo"], 2, ["unknown command 'deplo'", "did you mean deploy"]),
        (["deploy", "blazepose-ful", "--target", "onnx-cpu", "--out", "o"], 2, ["unknown model", "blazepose-full"]),
        (["deploy", "blazepose-full", "--target", "onx-cpu", "--out", "o"], 2, ["unknown target", "onnx-cpu"]),
        (["deploy", "blazepose-full", "--target", "onnx-cpu", "--precision", "fp61", "--out", "o"], 2, ["fp16"]),
        (["deploy", "blazepose-full", "--out", "o"], 2, ["no target given", "edge targets"]),
        (["deploy", "nofile.py:build", "--input", "x=1x3", "--target", "onnx-cpu", "--out", "o"], 2, ["nofile.py"]),
        (["deploy", "m.py:build", "--input", "x=1xx3", "--target", "onnx-cpu", "--out", "o"], 2, ["x=1xx3"]),
        (["deploy", "blazepose-full", "--input", "x=1x3", "--target", "onnx-cpu", "--out", "o"], 2, ["of its own"]),
        (["deploy", "selfie-segmentation", "--data", "nowhere", "--target", "onnx-cpu", "--out", "o"], 2, ["nowhere"]),
        (["fetch", "lraspp-mobilenet-v3-large"], 2, ["--checkpoint"]),
        (["fetch", "selfie"], 2, ["selfie-segmentation"]),
        (["verify", "nowhere"], 2, ["nowhere", "not an artifact"]),
        (["run", "nowhere", "x.png"], 2, ["nowhere", "not an artifact"]),
        (["report", "nowhere"], 2, ["report.json"]),
        (["compile", "nowhere", "--target", "onnx-cpu", "--out", "o"], 2, ["nowhere", "edge export"]),
        (["run", "file/x", "x.png"], 2, ["file/x", "not an artifact", "Not a directory"]),
        (["compile", "file/x", "--target", "onnx-cpu", "--out", "o"], 2, ["file/x", "Not a directory"]),
        (["report", "file/x"], 2, ["file/x"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_bad_input_is_one_clear_line_with_the_right_exit_code(tmp_path, arguments, code, words):
    (tmp_path / "file").touch()
    done = edge(*arguments, cwd=tmp_path)
    line = one_line(done)
    assert done.returncode == code, line
    assert all(word in line for word in words), line


def test_any_error_of_the_system_is_one_line(monkeypatch, capsys):
    def refuse():
        raise NotADirectoryError(errno.ENOTDIR, "Not a directory", "file/x")

    monkeypatch.setattr(cli, "main", lambda **_: refuse())
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 1
    assert capsys.readouterr().err == "edge: Not a directory: file/x\n"


def test_models_and_targets_are_listed_as_text_and_json():
    for name, key in (("models", "name"), ("models", "runs"), ("targets", "family")):
        text, rows = edge(name), json.loads(edge(name, "--json").stdout)
        assert text.returncode == 0
        assert all(row[key] in text.stdout for row in rows)


def test_doctor_looks_at_everything():
    done = edge("doctor", "--json")
    answer = json.loads(done.stdout)
    names = {row["name"] for row in answer["checks"]}
    assert {"python", "npm", "cache", "target onnx-cpu"} <= names
    assert done.returncode == (0 if all(row["good"] or row["optional"] for row in answer["checks"]) else 3)
    jsonschema.validate(answer["environment"], {"required": ["date", "device", "packages"]})


def test_version():
    assert edge("--version").stdout.startswith("edge, version 0.")
