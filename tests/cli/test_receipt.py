"""`portal receipt`: keys of a portal, and documents that are verified without one."""

import json
from hashlib import sha256
from typing import Any

import pytest

from portal.crypto import ed25519
from portal.features.signing.documents import signed, to_base64url

from .conftest import Shell

NEW = sha256(b"a new secret key").hexdigest()
PRIVATE = ed25519.new_private()
JWK = {"kty": "OKP", "crv": "Ed25519", "x": to_base64url(ed25519.public_of(PRIVATE))}


@pytest.fixture
def nowhere(empty: Shell) -> Shell:
    """A folder with a document and its key, and no portal."""
    (empty.folder / "receipt.json").write_bytes(signed("test-document", {"name": "Stra\u00dfe"}, PRIVATE))
    (empty.folder / "keys.json").write_text(json.dumps(JWK))
    return empty


def verify(shell: Shell, *more: str) -> Any:
    folder = shell.folder
    return shell("receipt", "verify", str(folder / "receipt.json"), "--key", str(folder / "keys.json"), *more)


def test_a_document_is_verified_where_no_portal_is(nowhere: Shell) -> None:
    said = verify(nowhere)
    assert said.code == 0
    assert said.out.startswith("test-document, signed by ")
    assert verify(nowhere, "--json").json["payload"] == {"name": "Stra\u00dfe"}


def test_a_changed_document_is_refused(nowhere: Shell) -> None:
    path = nowhere.folder / "receipt.json"
    path.write_bytes(path.read_bytes().replace(b"name", b"nami"))
    said = verify(nowhere)
    assert (said.code, said.out) == (3, "")
    assert said.err == "portal: The document was changed, or none of the given keys signed it.\n"


def test_a_file_without_a_key_is_a_wrong_argument(nowhere: Shell) -> None:
    (nowhere.folder / "keys.json").write_text("{}")
    assert verify(nowhere).code == 2


def test_a_rotated_key_is_published_beside_the_new_one(portal: Shell) -> None:
    assert portal("receipt", "keys").json == {"keys": []}
    kids = [portal("receipt", "rotate-key", "--json").json["kid"] for _ in range(2)]
    live, old = portal("receipt", "keys").json["keys"]
    assert [old["kid"], live["kid"]] == kids
    assert (live["retired_at"], old["retired_at"] is None) == (None, False)


def test_a_key_under_an_old_secret_key_is_told_and_moved(portal: Shell) -> None:
    portal("receipt", "rotate-key")
    env = portal.folder / ".env"
    env.write_text(env.read_text().replace("PORTAL_SECRET_KEY=", f"PORTAL_SECRET_KEY={NEW},"))
    assert portal("keys", "status", "--json").json["outdated_signing_keys"] == 1
    assert portal("keys", "status").out.splitlines()[-1].startswith("0 authenticator(s), 1 signing key(s) under an old")
    assert portal("keys", "reseal", "--dry-run").out == "0 authenticator(s), 1 signing key(s) would be sealed anew\n"
    assert portal("keys", "reseal", "--json").json["resealed"] == 1
    assert portal("keys", "reseal").out == "sealed 0 secret(s) anew\n"
    assert portal("keys", "status", "--json").json["outdated_signing_keys"] == 0
