"""`portal sweep` and `portal fsck`: what they settle and find, and what scripts are told."""

from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from portal.bootstrap import Portal
from portal.core import clock
from portal.core.ids import new_id
from portal.core.principal import NOWHERE, Role
from portal.crypto.format import BlobContext
from portal.features.audit.events import Event, EventKind
from portal.features.files import blob_rows, repository

from .conftest import Shell, sign_up

CONTENT = b"content that is read whole" * 40


NOTHING_WAITS = {"waiting": {"blobs": 0, "bytes": 0}}
HINT = "only records and lengths were checked: --full or --sample 5% reads the bytes"


def crash(shell: Shell, *, lease: timedelta) -> None:
    """What an upload leaves whose process died."""

    async def leave(portal: Portal) -> None:
        principal, now, file_id = await sign_up(portal), clock.now(), new_id()
        new = {"id": file_id, "owner_id": principal.user_id, "scope": "none", "name": "half", "created_at": now}
        async with portal.resources.database.write() as connection:
            assert await repository.add(connection, {**new, "lease_until": now + lease})
            await blob_rows.add_blob(connection, BlobContext(file_id, new_id()), portal.resources.strongbox.store_id)

    shell.inside(leave)


def flip(path: Path, place: int) -> None:
    damaged = bytearray(path.read_bytes())
    damaged[place] ^= 1
    path.write_bytes(damaged)


def test_a_sweep_says_how_many_it_settled(portal: Shell) -> None:
    assert portal("sweep").out == "settled 0\n"
    crash(portal, lease=-timedelta(seconds=1))
    ran = portal("sweep")
    assert (ran.code, ran.out, ran.err) == (0, "settled 1\n", "")
    assert portal("sweep", "--json").json == {"settled": 0, **NOTHING_WAITS}
    assert portal.query("SELECT status FROM files") == [("failed",)]


def test_a_sweep_leaves_live_leases_unless_told(portal: Shell) -> None:
    crash(portal, lease=timedelta(minutes=1))
    assert portal("sweep", "--json").json == {"settled": 0, **NOTHING_WAITS}
    assert portal("sweep", "--older-than", "0s", "--json").json == {"settled": 1, **NOTHING_WAITS}


@pytest.mark.parametrize(("span", "settled"), [("1d", 0), ("3h", 0), ("119m", 1), ("7199s", 1), ("1h", 1)])
def test_a_span_is_a_number_and_a_unit(portal: Shell, span: str, settled: int) -> None:
    crash(portal, lease=timedelta(minutes=1) - timedelta(hours=2))
    assert portal("sweep", "--older-than", span, "--json").json == {"settled": settled, **NOTHING_WAITS}


@pytest.mark.parametrize("span", ["", "1", "s", "1w", "-1s", "1.5h", "1h30m", " 1s", "٣s", "9" * 30 + "d"])
def test_a_span_that_is_none_is_a_wrong_argument(portal: Shell, span: str) -> None:
    ran = portal("sweep", "--older-than", span)
    assert (ran.code, ran.out) == (2, "")


def test_a_sweep_puts_what_waited_in_the_journal_on_record(portal: Shell) -> None:
    waiting = Event(EventKind.FILE_DOWNLOAD_ENDED, "user:x", str(new_id()), details={"outcome": "finished"})
    (portal.folder / "var" / "audit-journal.jsonl").write_text(waiting.canonical() + "\n")
    portal("sweep")
    assert [event["id"] for event in portal.record("file.download_ended")] == [str(waiting.id)]


def test_fsck_over_whole_files_is_a_success(portal: Shell) -> None:
    assert portal("fsck").out == f"0 files, 0 bytes read, 0 problems\n{HINT}\n"
    portal.hand_in(CONTENT)
    portal.hand_in(b"")
    ran = portal("fsck")
    assert (ran.code, ran.out, ran.err) == (0, f"2 files, 0 bytes read, 0 problems\n{HINT}\n", "")
    assert portal("fsck", "--full").out == f"2 files, {len(CONTENT)} bytes read, 0 problems\n"
    assert portal("fsck", "--full", "--json").json == {"files": 2, "bytes": len(CONTENT), "problems": []}
    assert portal("fsck", "--sample", "100%", "--json").json["bytes"] == len(CONTENT)
    assert "the sample read nothing: of few files read all, with --full" in portal("fsck", "--sample", "0.0001%").out


def test_fsck_names_every_damaged_file(portal: Shell) -> None:
    whole = portal.hand_in(CONTENT)
    flipped, missing = portal.hand_in(CONTENT, "flipped.bin"), portal.hand_in(CONTENT, "missing.bin")
    flip(portal.blob(flipped.id), 300)
    portal.blob(missing.id).unlink()
    quick = portal("fsck")
    assert quick.code == 1
    assert quick.out.splitlines() == [f"damaged: {missing.id} missing.bin", "3 files, 0 bytes read, 1 problems", HINT]
    full = portal("fsck", "--full")
    assert full.code == 1
    assert f"damaged: {flipped.id} flipped.bin" in full.out
    assert f"damaged: {missing.id} missing.bin" in full.out
    assert str(whole.id) not in full.out
    assert {event["subject"] for event in portal.record("file.damaged")} == {str(flipped.id), str(missing.id)}


def test_fsck_tells_scripts_what_is_damaged(portal: Shell) -> None:
    file = portal.hand_in(CONTENT)
    flip(portal.blob(file.id), 300)
    ran = portal("fsck", "--full", "--json")
    assert ran.code == 1
    assert ran.json == {
        "files": 1,
        "bytes": 0,
        "problems": [{"file_id": str(file.id), "name": "evidence.bin", "problem": "damaged"}],
    }


def test_fsck_names_a_blob_that_no_file_names_and_leaves_it(portal: Shell) -> None:
    portal.hand_in(CONTENT)
    orphan = new_id().hex
    path = portal.folder / "var" / "store" / "blobs" / orphan[-2:] / orphan
    path.write_bytes(b"whose?")
    ran = portal("fsck", "--json")
    assert ran.code == 1
    assert ran.json["problems"] == [{"file_id": None, "name": orphan, "problem": "a blob that no file names"}]
    assert portal("fsck").out.splitlines()[0] == f"a blob that no file names: {orphan}"
    assert path.exists()


def test_a_share_of_everything_is_not_asked_for(portal: Shell) -> None:
    ran = portal("fsck", "--full", "--sample", "5%")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (
        "portal: Invalid value for --sample: --full reads every file already (see `portal fsck --help`)\n"
    )


@pytest.mark.parametrize("share", ["", "0", "0%", "101%", "-5%", "x", "nan", "inf", "5%%"])
def test_a_share_that_is_none_is_a_wrong_argument(portal: Shell, share: str) -> None:
    ran = portal("fsck", "--sample", share)
    assert (ran.code, ran.out) == (2, "")


@pytest.mark.parametrize("command", [("sweep",), ("fsck",), ("files", "export", str(UUID(int=1)), "--to", "x")])
def test_without_tables_nothing_is_looked_at(keyed: Shell, command: tuple[str, ...]) -> None:
    (keyed.folder / "var").mkdir()
    (keyed.folder / "var" / "portal.db").touch()
    ran = keyed(*command)
    assert (ran.code, ran.out) == (78, "")
    assert "portal db upgrade" in ran.err


def test_a_sweep_forgets_invitations_that_are_over(portal: Shell) -> None:
    async def invite(opened: Portal) -> None:
        for lasts in (timedelta(hours=-1), timedelta(hours=1)):
            await opened.identity.accounts.invite("system:cli/test", Role.ANALYST, lasts, NOWHERE)

    portal.inside(invite)
    assert portal("sweep").code == 0
    assert portal.query("SELECT count(*) FROM invitations") == [(1,)]


def test_deleted_bytes_wait_until_their_time_or_until_room_is_needed(portal: Shell) -> None:
    file = portal.hand_in(CONTENT)
    size = portal.blob(file.id).stat().st_size

    async def delete(opened: Portal) -> None:
        async with opened.resources.database.write() as connection:
            assert await repository.delete(connection, file.id, file.version, opened.resources.delete_grace)

    portal.inside(delete)
    told = portal("sweep")
    assert told.out == f"settled 0\n1 blob(s) of deleted files wait for their time to go, {size} bytes\n"
    assert portal("sweep", "--json").json == {"settled": 0, "waiting": {"blobs": 1, "bytes": size}}
    assert portal("fsck", "--json").json["problems"] == []
    assert portal("sweep", "--no-grace", "--json").json == {"settled": 1, **NOTHING_WAITS}
    assert list((portal.folder / "var" / "store" / "blobs").glob("*/*")) == []
    assert [event["details"] for event in portal.record("file.grace_ended")] == [{"blobs": 1, "bytes": size}]
