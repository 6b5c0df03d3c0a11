"""`portal keys`: what an operator sees, and does, to move to a new master key."""

import sqlite3
from contextlib import closing
from hashlib import sha256
from uuid import UUID

import pytest
from sqlalchemy import text

from portal.backends.keys.base import KeyProviderError
from portal.bootstrap import Portal
from portal.core.ids import new_id
from portal.core.key_scopes import NO_CASE, scope_of
from portal.keyring.keyring import Keyring

from ..own_softhsm import PIN, OwnSoftHsm
from .conftest import Shell

CONTENT = b"sealed under the old master key" * 40
NEW = sha256(b"another master key").hexdigest()


def configure(shell: Shell, urls: str) -> None:
    with (shell.folder / ".env").open("a") as file:
        file.write(f"PORTAL_NEW_KEY={NEW}\nPORTAL_KEY_URLS={urls}\n")


def test_an_old_master_key_can_be_taken_away_and_every_file_opens(portal: Shell) -> None:
    portal.hand_in(CONTENT)
    (old,) = portal("keys", "status", "--json").json["master_keys"]
    assert (old["data_keys"], old["wraps"]) == (1, True)
    configure(portal, "env:PORTAL_NEW_KEY,env:PORTAL_MASTER_KEY")
    portal.hand_in(CONTENT)
    active = portal.query("SELECT provider_key_id FROM data_keys WHERE retired_at IS NULL")
    assert active != [(old["key_id"],)]
    assert portal("keys", "rewrap", "--dry-run", "--json").json == {"data_keys": 1, "scopes": 1}
    assert portal("keys", "retire", old["key_id"]).err.startswith(
        "portal: It wraps 1 data key(s), which protect 1 file(s)"
    )
    done = portal("keys", "rewrap", "--json").json
    assert (done["status"], done["rewrapped"], done["left"]) == ("done", 1, 0)
    assert [use["data_keys"] for use in portal("keys", "status", "--json").json["master_keys"]] == [2, 0]
    assert portal("keys", "retire", old["key_id"]).out.startswith(f"nothing needs {old['key_id']}: take it out")
    configure(portal, "env:PORTAL_NEW_KEY")
    assert portal("fsck", "--full", "--json").json["files"] == 2
    assert len(portal.record("key.rewrapped")) == 1


def test_a_portal_moves_into_an_hsm_and_every_file_opens(portal: Shell, softhsm: OwnSoftHsm) -> None:
    portal.hand_in(CONTENT)
    (old,) = portal("keys", "status", "--json").json["master_keys"]
    url, env = softhsm.url("portal", "master"), portal.folder / ".env"
    settings = f"{env.read_text()}PORTAL_PKCS11_PIN={PIN}\n"
    env.write_text(f"{settings}PORTAL_KEY_URLS={url},env:PORTAL_MASTER_KEY\n")
    portal.hand_in(CONTENT)
    done = portal("keys", "rewrap", "--json").json
    assert (done["status"], done["rewrapped"], done["left"]) == ("done", 1, 0)
    assert portal("keys", "retire", old["key_id"]).code == 0
    kept = [line for line in settings.splitlines() if "MASTER_KEY" not in line]
    env.write_text("\n".join([*kept, f"PORTAL_KEY_URLS={url}", ""]))
    (key,) = portal("keys", "status", "--json").json["master_keys"]
    assert (key["key_id"], key["data_keys"], key["files"]) == ("pkcs11:token=portal;object=master", 2, 2)
    assert portal("keys", "verify").out == "2 data key(s) open\n"
    assert portal("fsck", "--full", "--json").json["problems"] == []
    assert portal("keys", "split").err.startswith("portal: only a master key of env: or file: can be split")


def test_people_are_told_which_key_wraps_what(portal: Shell) -> None:
    portal.hand_in(CONTENT)
    configure(portal, "env:PORTAL_NEW_KEY,env:PORTAL_MASTER_KEY")
    ran = portal("keys", "status")
    new, old, last = ran.out.splitlines()[:3], ran.out.splitlines()[3:7], ran.out.splitlines()[-1]
    assert new[0].endswith("  wraps new data keys")
    assert new[2] == "  if it is lost: No file is under it. Uploads are refused until another provider is the first."
    assert old[0].endswith("  unwraps")
    assert old[1] == f"  1 data key(s), 1 file(s), {len(CONTENT)} bytes"
    assert old[2].startswith("  data keys that seal new files were made from 20")
    assert old[3].startswith("  if it is lost: 1 file(s) become unreadable")
    assert last.startswith("nothing is sealed under an old PORTAL_SECRET_KEY")
    assert NEW not in ran.out


def test_a_data_key_whose_master_key_is_not_configured_is_told_and_left(portal: Shell) -> None:
    portal.hand_in(CONTENT)
    values = (new_id().hex, "case:" + "0a" * 16, "lost", b"wrapped", b"check", "2026-01-01 00:00:00.000000")
    with closing(sqlite3.connect(portal.folder / "var" / "portal.db")) as database, database:
        names = "id, scope, provider_key_id, wrapped, check_value, created_at"
        database.execute(f"INSERT INTO data_keys ({names}) VALUES (?, ?, ?, ?, ?, ?)", values)  # noqa: S608  # ours
    ran = portal("keys", "rewrap")
    assert ran.code == 1
    assert ran.out.startswith("rewrapped 0 data key(s)\nleft: ")
    assert "is failed: job_failed: 1 data key(s) left" in ran.out
    ran = portal("keys", "verify", "--json")
    assert (ran.code, ran.json["data_keys"], ran.json["named"]) == (1, 2, [str(UUID(values[0]))])
    assert len(portal.record("key.unopened")) == 2
    assert "lost  NOT CONFIGURED\n  1 data key(s), 0 file(s)" in portal("keys", "status").out


def test_new_data_keys_are_made_on_demand(portal: Shell) -> None:
    portal.hand_in(CONTENT)
    assert portal("keys", "rotate", "--dry-run").out == "1 data key(s) would be retired\n"
    assert portal("keys", "rotate", "--json").json == {"data_keys": 1}
    portal.hand_in(CONTENT)
    assert portal.query("SELECT count(*) FROM data_keys") == [(2,)]
    assert portal("fsck", "--full", "--json").json["problems"] == []
    ran = portal("keys", "rotate", "--case", unknown := str(new_id()))
    assert (ran.code, ran.err) == (3, f"portal: there is no case {unknown}\n")
    assert portal("keys", "verify").out == "2 data key(s) open\n"


def test_a_provider_that_goes_away_leaves_the_job_for_later(portal: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    portal.hand_in(CONTENT)

    async def away(*_: object) -> None:
        raise KeyProviderError(reason="no answer in time", transient=True)

    monkeypatch.setattr(Keyring, "verify", away)
    ran = portal("keys", "verify")
    assert ran.code == 69
    assert "is queued: key_provider_away: no answer in time" in ran.out


def test_what_a_stranger_wrote_into_a_row_gives_the_terminal_no_orders(portal: Shell) -> None:
    async def plant(opened: Portal) -> None:
        for scope in (NO_CASE, scope_of(new_id())):
            await opened.resources.keyring.active(scope)
        async with opened.resources.database.write() as connection:
            await connection.execute(
                text("UPDATE data_keys SET provider_key_id = :key WHERE scope <> 'none'"),
                {"key": "\x1b[2Jfine\x9b\u202e"},
            )

    portal.inside(plant)
    told = portal("keys", "status")
    assert "\\x1b[2Jfine\\x9b\\u202e  NOT CONFIGURED" in told.out
    refused = portal("keys", "retire", "\x1b[2J")
    assert "there is no master key \\x1b[2J" in refused.err
    assert not set(told.out + refused.err) & set("\x1b\x9b\u202e")
