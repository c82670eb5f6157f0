"""`edge token` as a user meets it: the token on standard output, once, and one line for everything else."""

import json
import re
import time

import pytest
from click.testing import CliRunner

from edge.cli import cli
from edge.errors import EdgeError
from edge.server.tokens import Tokens


@pytest.fixture
def edge(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        return CliRunner().invoke(cli, ["token", *arguments])

    return run


def test_a_token_from_its_making_to_its_end(edge, tmp_path):
    path = tmp_path / "tokens.json"
    made = edge(
        "new", "app", "--file", "tokens.json", "--model", "pose", "--per-minute", "60", "--expires", "2999-12-31"
    )
    assert made.exit_code == 0
    assert re.fullmatch(r"edk_[A-Za-z0-9_-]{43}\n", made.stdout)
    assert made.stdout.strip() not in made.stderr
    grant = Tokens.read(path).authorize(f"Bearer {made.stdout.strip()}", "pose", time.time())
    listed = edge("list", "--file", "tokens.json")
    assert listed.exit_code == 0
    assert all(word in listed.stdout for word in (grant.id, "pose", "60", "2999-12-31"))
    assert made.stdout.strip() not in listed.stdout
    [row] = json.loads(edge("list", "--file", "tokens.json", "--json").stdout)
    assert (row["id"], row["models"], row["requests_per_minute"], row["live"]) == (grant.id, ["pose"], 60, True)
    assert edge("revoke", grant.id, "--file", "tokens.json").stdout == f"{grant.id}: revoked\n"
    assert not Tokens.read(path).tokens


def test_json_holds_the_token(edge, tmp_path):
    made = json.loads(edge("new", "app", "--file", "tokens.json", "--json").stdout)
    assert made["models"] == ["*"]
    tokens = Tokens.read(tmp_path / "tokens.json")
    assert tokens.authorize(f"Bearer {made['token']}", "pose", time.time()).id == made["id"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["list", "--file", "nowhere"], ["nowhere cannot be read", "edge token new"]),
        (["revoke", "app-1", "--file", "tokens.json"], ["unknown token 'app-1'", "edge token list --file tokens.json"]),
        (["new", "app", "--file", "tokens.json", "--expires", "2001-01-01"], ["2001-01-01 has passed"]),
    ],
)
def test_bad_input_is_one_line(edge, arguments, words):
    assert edge("new", "app", "--file", "tokens.json").exit_code == 0
    error = edge(*arguments).exception
    assert isinstance(error, EdgeError)
    assert error.exit_code == 2
    assert "\n" not in str(error)
    assert all(word in str(error) for word in words), error
