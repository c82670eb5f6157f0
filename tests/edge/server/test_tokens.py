"""Tokens: what the file holds, what lets a request in, and what no message may say."""

import json
import os
import re
import stat
import threading
from datetime import UTC, date, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.errors import InputError, UnknownName, UsageError
from edge.serve.errors import Forbidden, RequestError, Unauthenticated
from edge.server.token_file import LOOK_EVERY_S, TokenFile
from edge.server.tokens import METRICS, Tokens, new_token, revoke_token

NOW = datetime(2027, 1, 15, 12, tzinfo=UTC).timestamp()
DAY_S = 86_400.0


@pytest.fixture
def path(tmp_path):
    return tmp_path / "tokens.json"


def allow(path, text, model="pose", now=NOW):
    return Tokens.read(path).authorize(f"Bearer {text}", model, now)


def test_a_token_lets_in_and_the_file_holds_its_hash_only(path):
    text, token = new_token(path, "app", NOW, requests_per_minute=60)
    assert re.fullmatch("edk_[A-Za-z0-9_-]{43}", text)
    grant = allow(path, text)
    assert (grant.id, grant.client, grant.requests_per_minute) == (token.id, "app", 60)
    assert text not in path.read_text()
    assert text.removeprefix("edk_") not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sorted(entry.name for entry in path.parent.iterdir()) == [".tokens.json.lock", "tokens.json"]


def test_the_file_is_closed_from_its_first_byte_on(path, monkeypatch):
    seen = []
    real = os.open

    def watch(name, flags, mode=0o777, **words):
        descriptor = real(name, flags, mode, **words)
        if str(name).endswith(".tmp"):
            seen.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        return descriptor

    monkeypatch.setattr(os, "open", watch)
    new_token(path, "app", NOW)
    assert seen == [0o600]


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER  "])
def test_the_scheme_has_no_case(path, scheme):
    text, _ = new_token(path, "app", NOW)
    assert Tokens.read(path).authorize(scheme + text, "pose", NOW).client == "app"


def test_scopes(path):
    every, _ = new_token(path, "app", NOW)
    one, _ = new_token(path, "kiosk", NOW, models=["pose", "pose"])
    prometheus, _ = new_token(path, "prometheus", NOW, models=[METRICS])
    assert allow(path, every, "pose").client == allow(path, every, "segment").client == "app"
    assert allow(path, one, "pose").client == "kiosk"
    assert allow(path, prometheus, METRICS).client == "prometheus"
    for text, scope in ((every, METRICS), (one, "segment"), (one, METRICS), (prometheus, "pose")):
        with pytest.raises(Forbidden, match=f"has no right to {scope}"):
            allow(path, text, scope)


def test_the_last_day_counts_to_its_end(path):
    text, token = new_token(path, "app", NOW, expires=date(2027, 1, 16))
    midnight = datetime(2027, 1, 17, tzinfo=UTC).timestamp()
    assert allow(path, text, now=midnight - 1).id == token.id
    with pytest.raises(Unauthenticated, match=f"{token.id} expired on 2027-01-16"):
        allow(path, text, now=midnight)


def test_a_client_changes_its_token(path):
    first, old = new_token(path, "app", NOW)
    second, new = new_token(path, "app", NOW)
    assert old.id != new.id
    assert allow(path, first).client == allow(path, second).client
    with pytest.raises(UsageError, match=f"has 2 tokens already.*edge token revoke {old.id}"):
        new_token(path, "app", NOW)
    assert revoke_token(path, old.id).id == old.id
    assert allow(path, second).id == new.id
    with pytest.raises(Unauthenticated, match="not known"):
        allow(path, first)
    with pytest.raises(UnknownName, match=new.id):
        revoke_token(path, new.id[:-1])


def test_an_expired_token_is_not_one_of_the_two(path):
    new_token(path, "app", NOW, expires=date(2027, 1, 15))
    for _ in range(2):
        new_token(path, "app", NOW + 2 * DAY_S)
    assert len(Tokens.read(path).tokens) == 3


def test_commands_side_by_side_lose_nothing(path):
    threads = [threading.Thread(target=new_token, args=(path, f"app{i}", NOW)) for i in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {token.client for token in Tokens.read(path).tokens} == {f"app{i}" for i in range(12)}


@pytest.mark.parametrize(
    ("client", "words", "said"),
    [
        ("a b", {}, "client name 'a b'"),
        ("", {}, "client name ''"),
        ("app", {"models": ["../x"]}, "model name '../x'"),
        ("app", {"expires": date(2027, 1, 14)}, "2027-01-14 has passed"),
    ],
)
def test_what_no_token_can_have(path, client, words, said):
    with pytest.raises(UsageError, match=re.escape(said)):
        new_token(path, client, NOW, **words)
    assert not path.exists()


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602, 0o620, 0o666])
def test_a_file_open_to_others_is_refused(path, mode):
    new_token(path, "app", NOW)
    path.chmod(mode)
    with pytest.raises(InputError, match=f"mode {mode:04o}; close it with `chmod 600 {path}`"):
        Tokens.read(path)


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o440, 0o640])
def test_a_group_may_read(path, mode):
    text, _ = new_token(path, "app", NOW)
    path.chmod(mode)
    assert allow(path, text).client == "app"


def entry(**changes):
    fine = {"id": "app-1", "client": "app", "sha256": "0" * 64, "created": "2027-01-15"}
    return {**fine, **changes}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b'{"schema": 2, "tokens": []}',
        b'{"schema": 1, "tokens": [], "more": 1}',
        *(
            json.dumps({"schema": 1, "tokens": tokens}).encode()
            for tokens in (
                [entry(secret="x")],
                [entry(sha256="edk_not-a-hash")],
                [entry(models=[])],
                [entry(models=["a/b"])],
                [entry(requests_per_minute=0)],
                [entry(expires="tomorrow")],
                [entry(), entry(sha256="1" * 64)],
                [entry(), entry(id="app-2")],
            )
        ),
        b'{"schema": 1, "tokens": ' + b"[" * 100_000,
    ],
)
def test_a_file_that_is_none_is_refused(path, content):
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(InputError, match=re.escape(str(path))) as caught:
        Tokens.read(path)
    assert "edk_" not in str(caught.value)


def test_a_file_that_is_not_there_is_named_with_the_command(path):
    with pytest.raises(InputError, match=f"edge token new NAME --file {path}"):
        Tokens.read(path)


anything = st.binary(max_size=80).map(lambda raw: raw.decode("latin-1"))  # as header values arrive


@given(header=st.one_of(st.none(), anything, anything.map("Bearer {}".format)))
def test_whatever_else_is_sent_is_unauthenticated_and_not_repeated(header):
    with pytest.raises(Unauthenticated) as caught:
        Tokens(()).authorize(header, "pose", NOW)
    if header and len(header) > 20:
        assert header not in str(caught.value)


@settings(max_examples=25)
@given(cut=st.integers(0, 46), other=st.sampled_from("AZaz09_-~"))
def test_a_token_with_one_other_character_is_not_known(tmp_path_factory, cut, other):
    path = tmp_path_factory.mktemp("tokens") / "tokens.json"
    text, _ = new_token(path, "app", NOW)
    changed = text[:cut] + other + text[cut + 1 :]
    if changed == text:
        return
    with pytest.raises(RequestError) as caught:
        allow(path, changed)
    assert isinstance(caught.value, Unauthenticated)
    assert changed not in str(caught.value)


def test_no_message_holds_the_token(path):
    text, token = new_token(path, "app", NOW, models=["pose"], expires=date(2027, 1, 15))
    tokens = Tokens.read(path)
    for model, now in (("other", NOW), ("pose", NOW + 2 * DAY_S)):
        with pytest.raises(RequestError) as caught:
            tokens.authorize(f"Bearer {text}", model, now)
        assert text not in str(caught.value) + repr(caught.value) + repr(token) + repr(tokens)


def test_a_running_server_sees_what_changed(path):
    now = 0.0
    text, token = new_token(path, "app", NOW)
    watched = TokenFile(path, lambda: now)
    header = f"Bearer {text}"
    revoke_token(path, token.id)
    assert watched.current().authorize(header, "pose", NOW).client == "app"
    now += LOOK_EVERY_S
    with pytest.raises(Unauthenticated):
        watched.current().authorize(header, "pose", NOW)

    other, _ = new_token(path, "app", NOW)
    now += LOOK_EVERY_S
    assert watched.current().authorize(f"Bearer {other}", "pose", NOW).client == "app"
    path.chmod(0o644)
    path.write_text("{")
    now += LOOK_EVERY_S
    assert watched.current().authorize(f"Bearer {other}", "pose", NOW).client == "app"
    assert "chmod 600" in watched.problem
    path.unlink()
    new_token(path, "app", NOW)
    now += LOOK_EVERY_S
    with pytest.raises(Unauthenticated):
        watched.current().authorize(f"Bearer {other}", "pose", NOW)
    assert not watched.problem
