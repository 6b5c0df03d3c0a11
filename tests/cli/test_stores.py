"""`portal stores`, and what a store that is not mounted gets from every command."""

import shutil

import pytest

from .conftest import Shell

CONTENT = bytes(100_000)  # too large for a row


def configure(shell: Shell, *urls: str) -> None:
    with (shell.folder / ".env").open("a") as file:
        file.write(f"PORTAL_BLOB_URLS={','.join(urls)}\n")


def test_files_are_read_where_they_lie_and_written_to_the_first(portal: Shell) -> None:
    early = portal.hand_in(CONTENT)
    old, new = ((portal.folder / name).as_uri() for name in ("var/store", "new"))
    configure(portal, new, old)
    ran = portal("fsck")
    assert ran.code == 78
    told = "holds no store: is the volume mounted? For a new store, see `portal stores add`"
    assert ran.err == f"portal: PORTAL_BLOB_URLS, entry 1 (file, {portal.folder / 'new'}) {told}\n"
    assert not (portal.folder / "new").exists()
    assert len(portal("stores", "add", "--json").json["added"]) == 1
    assert portal("stores", "add").out == "every configured store is known already\n"
    late = portal.hand_in(CONTENT)
    assert portal("fsck", "--full", "--json").json | {"bytes": 0} == {"files": 2, "bytes": 0, "problems": []}
    lies_in = dict(portal.query("SELECT file_id, store FROM blobs"))
    assert lies_in[early.id.hex] != lies_in[late.id.hex]
    told = portal("stores", "list").out
    assert "1 blob(s), takes new files" in told
    assert "1 blob(s), is read" in told


def test_without_its_store_a_file_is_away_and_no_damage_is_on_record(portal: Shell) -> None:
    portal.hand_in(CONTENT)
    configure(portal, (portal.folder / "new").as_uri())
    assert portal("stores", "add").code == 78  # the old one has blobs
    configure(portal, (portal.folder / "new").as_uri(), (portal.folder / "var/store").as_uri())
    assert portal("stores", "add").code == 0
    configure(portal, (portal.folder / "new").as_uri())
    ran = portal("fsck", "--full")
    assert ran.code == 1
    assert "not checked: blob_store_away" in ran.out
    assert portal.record("file.damaged") == []
    assert "NOT THERE" in portal("stores", "list").out


@pytest.mark.parametrize("command", [["fsck"], ["sweep"], ["db", "check"], ["users", "list"], ["db", "upgrade"]])
def test_a_store_that_is_not_mounted_is_made_by_no_command(portal: Shell, command: list[str]) -> None:
    portal.hand_in(CONTENT)
    shutil.move(portal.folder / "var/store", portal.folder / "unmounted")
    portal(*command)
    assert not (portal.folder / "var/store").exists()
    assert portal.record("file.damaged") == []


@pytest.mark.parametrize("verb", ["list", "add"])
def test_without_a_database_none_is_founded(keyed: Shell, verb: str) -> None:
    ran = keyed("stores", verb)
    assert (ran.code, ran.out) == (78, "")
    assert ran.err.startswith("portal: there is no database ")
    assert not (keyed.folder / "var").exists()
