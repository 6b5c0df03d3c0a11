"""What the command line refuses, in words and with an exit code, never with a traceback."""

from hashlib import sha256

import pytest

from portal.backends.keys import guarded
from portal.backends.keys.base import KeyProviderError
from portal.backends.keys.local import LocalKeyProvider

from .conftest import Shell


def test_a_target_that_exists_is_refused_in_words(portal: Shell) -> None:
    for name in ("blob", "plain"):
        (portal.folder / name).write_bytes(b"x" * 200)
    ran = portal("rescue", "blob", "--key-file", "-", "--out", "plain", stdin="00" * 32)
    assert "exist" in ran.err.lower()


def test_a_password_that_is_not_text_is_refused(portal: Shell) -> None:
    ran = portal("users", "create", "alice", "--role", "admin", "--password-stdin", stdin=b"\xff" * 20 + b"\n")
    assert ran.code == 3


def test_a_span_beyond_the_calendar_is_a_wrong_argument_or_long_enough(portal: Shell) -> None:
    assert portal("sweep", "--older-than", "999999d").code in {0, 2}


def test_another_master_key_is_told_by_the_setting_and_both_ids(portal: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    portal.hand_in(b"content")
    ((wraps,),) = portal.query("SELECT provider_key_id FROM data_keys")
    monkeypatch.setenv("PORTAL_MASTER_KEY", sha256(b"another").hexdigest())
    for command in (("db", "check"), ("sweep",), ("fsck",), ("init",)):
        ran = portal(*command)
        assert (ran.code, ran.out) == (78, "")
        assert ran.err == (
            f"portal: the data keys of this portal are wrapped under the master key {wraps}, which PORTAL_KEY_URLS "
            "does not give: name the provider that the portal was set up with, or set PORTAL_MASTER_KEY to its key\n"
        )


def test_a_key_provider_that_is_away_is_told_by_its_id_and_the_reason(
    portal: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(_: object) -> None:
        raise KeyProviderError(reason="the server is sealed")

    portal.hand_in(b"content")
    ((key_id,),) = portal.query("SELECT provider_key_id FROM data_keys")
    monkeypatch.setattr(LocalKeyProvider, "check", away)
    ran = portal("sweep")
    assert (ran.code, ran.out) == (69, "")
    assert ran.err == f"portal: the key providers {key_id}: the server is sealed; try again\n"


OFFLINE = [("keys", "status"), ("keys", "rotate", "--dry-run"), ("users", "list"), ("jobs", "list"), ("stores", "list")]


@pytest.fixture
def without_vault(portal: Shell, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """A portal whose second key provider is away."""
    portal.hand_in(b"content")
    monkeypatch.setattr(guarded, "PAUSE_SECONDS", 0)
    monkeypatch.setenv("PORTAL_KEY_URLS", "env:PORTAL_MASTER_KEY,vault-transit://127.0.0.1:1/transit/portal")
    monkeypatch.setenv("PORTAL_VAULT_TOKEN", "a-token")
    return portal


def test_what_opens_no_file_works_while_a_key_provider_is_away(without_vault: Shell) -> None:
    for command in OFFLINE:
        ran = without_vault(*command)
        assert (ran.code, ran.err) == (0, ""), command
    assert without_vault("sweep").code == 69
    assert (
        "vault-transit:transit/portal  unwraps, AWAY: nothing listens there (connection refused)\n"
        in without_vault("keys", "status").out
    )


def test_the_doctor_tells_how_each_master_key_is(without_vault: Shell) -> None:
    ((key_id,),) = without_vault.query("SELECT provider_key_id FROM data_keys")
    ran = without_vault("doctor")
    assert ran.code == 69
    assert f"ok       master key {key_id}: its provider answers\n" in ran.out
    assert "away     master key vault-transit:transit/portal: nothing listens there (connection refused)\n" in ran.out


def test_a_store_that_cannot_be_is_told_by_its_place_and_the_reason(
    portal: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    (portal.folder / "file").write_text("a file where a folder should be")
    monkeypatch.setenv("PORTAL_BLOB_URLS", f"file://{portal.folder}/file/store")
    ran = portal("sweep")
    assert (ran.code, ran.out) == (78, "")
    assert ran.err == f"portal: the blob stores file://{portal.folder}/file/store: Not a directory\n"


def test_a_data_folder_that_cannot_be_is_told_by_its_place_and_the_reason(
    keyed: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    (keyed.folder / "file").touch()
    monkeypatch.setenv("PORTAL_DATA_DIR", str(keyed.folder / "file" / "var"))
    ran = keyed("db", "upgrade")
    assert (ran.code, ran.out) == (78, "")
    assert ran.err == f"portal: PORTAL_DATA_DIR: {keyed.folder}/file/var cannot be made (Not a directory)\n"
