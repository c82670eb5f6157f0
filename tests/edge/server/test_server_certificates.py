"""The certificates of Ray's processes, checked by another program."""

from __future__ import annotations

import shutil
import ssl
import stat
import subprocess
from pathlib import Path

import pytest

from edge.server.certificates import Certificates, make_certificates
from edge.server.cluster import environment, private_folder


@pytest.fixture
def made(tmp_path: Path) -> Certificates:
    return make_certificates(tmp_path, "10.1.2.3")


def openssl(*words: str | Path) -> subprocess.CompletedProcess[str]:
    if not shutil.which("openssl"):
        pytest.skip("the program openssl is not installed")
    return subprocess.run(["openssl", *map(str, words)], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3"])
def test_openssl_verifies_the_chain_for_both_addresses(made: Certificates, address: str) -> None:
    words = ("verify", "-x509_strict", "-CAfile", made.authority, "-verify_ip", address, made.certificate)
    found = openssl(*words)
    assert found.returncode == 0, found.stdout + found.stderr


def test_another_authority_and_another_address_do_not_hold(made: Certificates, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = make_certificates(tmp_path / "other", "10.1.2.3")
    assert openssl("verify", "-CAfile", other.authority, made.certificate).returncode != 0
    assert openssl("verify", "-CAfile", made.authority, "-verify_ip", "10.9.9.9", made.certificate).returncode != 0
    assert openssl("verify", "-CAfile", made.certificate, made.certificate).returncode != 0  # it signs nothing itself


def test_the_key_is_the_certificates_and_only_its_owners(made: Certificates) -> None:
    assert stat.S_IMODE(made.key.stat().st_mode) == 0o600
    ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(made.certificate, made.key)
    assert not [path for path in made.key.parent.iterdir() if path not in (made.authority, made.certificate, made.key)]
    assert b"PRIVATE" not in made.authority.read_bytes() + made.certificate.read_bytes()


def test_the_secrets_of_a_cluster_lie_in_a_folder_of_ones_own() -> None:
    with private_folder() as folder:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        found = environment(folder)
        assert (found["RAY_USE_TLS"], found["RAY_AUTH_MODE"]) == ("1", "token")
        token = Path(found["RAY_AUTH_TOKEN_PATH"])
        assert stat.S_IMODE(token.stat().st_mode) == 0o600
        assert len(token.read_text()) == 64
        with private_folder() as second:
            assert environment(second)["RAY_AUTH_TOKEN_PATH"] != str(token)
            assert (second / "token").read_text() != token.read_text()
    assert not folder.exists()
