"""`portal backup`: what an operator does with backups, from the first one to the day on which it is needed."""

import json
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from uuid import UUID

import pytest

from portal.core.ids import new_id
from portal.core.principal import NOWHERE

from .conftest import Shell, closed_case

LARGE, SMALL = b"a file that lies in the store" * 40_000, b"a file that lies in its row"
NEW = sha256(b"another master key").hexdigest()


@pytest.fixture(autouse=True)
def target(portal: Shell) -> Path:
    """The target in the settings of the portal."""
    folder = portal.folder.parent / "backup"
    configure(portal, f"PORTAL_BACKUP_URL={folder.as_uri()}")
    return folder


@pytest.fixture
def elsewhere(portal: Shell, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Shell]:
    """Go to an empty folder with the same settings."""

    def go() -> Shell:
        folder = portal.folder.parent / new_id().hex
        folder.mkdir()
        (folder / ".env").write_text((portal.folder / ".env").read_text())
        monkeypatch.chdir(folder)
        return Shell(folder, portal.run)

    return go


def configure(shell: Shell, *lines: str) -> None:
    with (shell.folder / ".env").open("a") as file:
        file.writelines(f"{line}\n" for line in lines)


def fill(portal: Shell) -> tuple[UUID, UUID]:
    """A large file and a small one."""
    return portal.hand_in(LARGE).id, portal.hand_in(SMALL, "small.bin", content_length=len(SMALL)).id


def blobs(target: Path, first: str = "0") -> list[Path]:
    return sorted((target / "blobs").glob(f"*/{first}*"))


def digests(shell: Shell) -> list[tuple[str, str]]:
    return [tuple(row) for row in shell.query("SELECT id, sha256 FROM files ORDER BY id")]


def test_a_backup_is_restored_into_an_empty_folder_and_every_file_opens(
    portal: Shell, elsewhere: Callable[[], Shell]
) -> None:
    fill(portal)
    made = portal("backup", "create", "--json").json
    assert (made["status"], made["blobs"], made["copied"], made["missing"]) == ("done", 1, 1, 0)
    (listed,) = portal("backup", "list", "--json").json["backups"]
    assert (listed["id"], listed["problem"]) == (made["id"], None)
    assert (verified := portal("backup", "verify", "--json").json)["bad"] == 0
    assert verified["blobs"] == 2  # the one in its row, too
    before = digests(portal)
    there = elsewhere()
    restored = there("backup", "restore", "--json")
    assert (restored.code, restored.json["copied"], restored.json["bad"]) == (0, 1, 0)
    assert digests(there) == before
    assert there("fsck", "--full", "--json").json["files"] == 2
    assert [event["subject"] for event in there.record("backup.restored")] == [made["id"]]
    assert there("backup", "create", "--json").json["copied"] == 0  # the target is its own, too
    assert [one["problem"] for one in there("backup", "list", "--json").json["backups"]] == [None, None]


def test_blobs_are_copied_once_and_old_ones_go_with_the_last_backup_that_names_them(
    portal: Shell, target: Path
) -> None:
    old, _ = fill(portal)
    portal("backup", "create")
    first = blobs(target)
    fill(portal)
    made = portal("backup", "create", "--incremental", "--json").json
    assert (made["blobs"], made["copied"]) == (2, 1)
    with closing(sqlite3.connect(portal.folder / "var" / "portal.db")) as database, database:
        database.execute("UPDATE blobs SET wrapped_key = NULL WHERE file_id = ?", (old.hex,))
    assert portal("backup", "create", "--json").json["blobs"] == 1
    assert portal("backup", "prune", "--keep", "2", "--json").json["blobs"] == 0
    ran = portal("backup", "prune", "--keep", "1")
    assert ran.out == "removed 1 backup(s) and 1 blob(s), kept 1 backup(s)\n"
    assert not first[0].exists()
    assert len(blobs(target)) == len(blobs(target, "d")) == len(blobs(target, "b")) == len(blobs(target, "e")) == 1
    assert portal("backup", "verify").out.startswith("backup ")


def test_a_portal_with_rows_is_refused(portal: Shell) -> None:
    fill(portal)
    portal("backup", "create")
    ran = portal("backup", "restore")
    assert ran.code == 3
    assert ran.err.startswith("portal: The database has rows already, in ")
    assert portal("fsck", "--json").json["files"] == 2


@pytest.mark.parametrize("what", ["0", "d", "b", "e"])
def test_a_flipped_bit_is_refused_and_named(portal: Shell, target: Path, what: str) -> None:
    fill(portal)
    portal("backup", "create")
    (path,) = blobs(target, what)
    at = path.stat().st_size // 2
    damaged = bytearray(path.read_bytes())
    damaged[at] ^= 1
    path.write_bytes(damaged)
    ran = portal("backup", "verify")
    assert ran.code != 0
    assert path.name in ran.out + ran.err
    assert portal("backup", "list").code == (1 if what == "e" else 0)


def test_damage_stops_a_restore_before_any_row_is_there(
    portal: Shell, target: Path, elsewhere: Callable[[], Shell]
) -> None:
    fill(portal)
    portal("backup", "create")
    (blob,) = blobs(target)
    whole = blob.read_bytes()
    blob.unlink()
    there = elsewhere()
    ran = there("backup", "restore")
    assert ran.code == 3
    assert f"blob {blob.name} of file" in ran.err
    assert there.query("SELECT count(*) FROM files") == [(0,)]
    assert "holds no store" in there("fsck").err or "does not know" in there("fsck").err  # it starts nowhere
    blob.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert f"blob {blob.name} of file" in there("backup", "restore").err
    ran = there("backup", "restore", "--damaged", "--json")
    assert (ran.code, ran.json["bad"], ran.json["blobs"]) == (1, 1, 2)
    assert there("fsck").code == 1


def test_a_blob_that_is_there_goes_only_for_one_that_opens(portal: Shell, target: Path) -> None:
    mine = portal.blob(fill(portal)[0])
    portal("backup", "create")
    (copy,) = blobs(target)
    whole = copy.read_bytes()
    damaged = whole[:-1] + bytes([whole[-1] ^ 1])
    mine.write_bytes(damaged)
    copy.unlink()
    (portal.folder / "var" / "portal.db").unlink()
    assert portal("backup", "restore").code == 3
    assert mine.read_bytes() == damaged
    copy.write_bytes(whole)
    assert portal("backup", "restore", "--json").json["copied"] == 1
    assert mine.read_bytes() == whole


def test_what_a_damaged_backup_named_is_compared_by_the_next_one(portal: Shell, target: Path) -> None:
    fill(portal)
    portal("backup", "create")
    (snapshot,) = blobs(target, "d")
    snapshot.unlink()
    assert portal("backup", "create", "--incremental", "--json").json["copied"] == 0
    ran = portal("backup", "prune", "--keep", "2")
    assert (ran.code, "its snapshot is damaged or gone" in ran.out) == (1, True)
    assert portal("backup", "prune", "--keep", "1").code == 0
    assert portal("backup", "verify", "--json").json["bad"] == 0


def test_a_backup_made_during_a_shredding_is_whole_and_the_shredding_goes_on_where_it_is_restored(
    portal: Shell, elsewhere: Callable[[], Shell]
) -> None:
    fill(portal)
    case = closed_case(portal, LARGE)
    portal.inside(lambda opened: opened.custody.shred("system:test", case.id, case.number, NOWHERE))
    made = portal("backup", "create", "--json")
    assert (made.code, made.json["blobs"]) == (0, 1)
    assert portal("backup", "verify", "--json").json["bad"] == 0
    there = elsewhere()
    assert there("backup", "restore").code == 0
    assert there("cases", "shred", str(case.id), "--number", case.number).code == 0
    assert there("fsck", "--full", "--json").json["problems"] == []


def test_a_blob_that_the_portal_lost_is_named_and_all_others_are_kept(portal: Shell) -> None:
    lost, _ = fill(portal)
    fill(portal)
    portal.blob(lost).unlink()
    ran = portal("backup", "create", "--json")
    assert (ran.code, ran.json["blobs"], ran.json["copied"], ran.json["missing"]) == (1, 2, 1, 1)
    assert str(lost) in ran.json["named"][0]
    assert portal("backup", "verify", "--json").json["bad"] == 1


def test_a_blob_at_the_target_that_differs_is_never_replaced_by_one_that_may_be_damaged(
    portal: Shell, target: Path
) -> None:
    fill(portal)
    portal("backup", "create")
    (blob,) = blobs(target)
    blob.write_bytes(blob.read_bytes()[:-1] + b"?")
    assert portal("backup", "create", "--incremental").code == 0
    ran = portal("backup", "create")
    assert ran.code == 1
    assert f"blob {blob.name} at the target differs from the portal's" in ran.out


def test_a_place_that_is_no_target_of_this_portal_is_refused(portal: Shell, target: Path) -> None:
    fill(portal)
    store = (portal.folder / "var" / "store").as_uri()
    assert "a blob store of the portal itself" in portal("backup", "create", "--to", store).out
    portal("backup", "create")
    said = json.loads((target / "store.json").read_text()) | {"id": str(new_id())}
    (target / "store.json").write_text(json.dumps(said))
    assert "a backup target of another portal" in portal("backup", "create").out
    assert portal("backup", "prune", "--keep", "1").code == 1
    assert portal("backup", "list", "--from", (portal.folder / "nothing").as_uri()).code == 3
    assert portal("backup", "create", "--to", "nowhere:").code == 78


def test_without_a_target_there_is_no_backup(portal: Shell) -> None:
    configure(portal, "PORTAL_BACKUP_URL=")
    ran = portal("backup", "create")
    assert (ran.code, ran.err) == (78, "portal: PORTAL_BACKUP_URL is not set: name the target\n")


def test_a_bundle_and_the_key_provider_open_a_blob_without_a_database(
    portal: Shell, target: Path, elsewhere: Callable[[], Shell]
) -> None:
    large, _ = fill(portal)
    portal("backup", "create")
    ran = portal("backup", "bundle", "--out", "keys.bundle")
    assert ran.code == 0
    assert portal("backup", "bundle", "--out", "keys.bundle").code == 3  # never over another
    bundle, blob = portal.folder / "keys.bundle", portal.blob(large)
    there = elsewhere()
    lines = [line for line in (there.folder / ".env").read_text().splitlines() if "MASTER_KEY" in line]
    (there.folder / ".env").write_text("\n".join(lines))
    assert there("rescue", str(blob), "--bundle", str(bundle), "--out", "plain").code == 0
    assert (there.folder / "plain").read_bytes() == LARGE
    assert not (there.folder / "var").exists()
    assert there("rescue", str(blobs(target, "d")[0]), "--bundle", str(bundle), "--out", "other").code == 3
    damaged = bytearray(bundle.read_bytes())
    damaged[-20] ^= 1
    bundle.write_bytes(damaged)
    assert there("rescue", str(blob), "--bundle", str(bundle), "--out", "again").code == 3
    assert there("rescue", str(blob), "--out", "again").code == 2


def test_a_drill_opens_files_in_a_restored_portal_and_signs_what_it_found(
    portal: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(portal)
    portal("backup", "create")
    places = tmp_path / "temporary"
    places.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(places))
    ran = portal("backup", "drill", "--report", "report.json", "--json")
    assert (ran.code, ran.json["opened"], ran.json["bad"]) == (0, 2, [])
    assert list(places.iterdir()) == []
    (portal.folder / "public.json").write_text(portal("receipt", "keys").out)
    told = portal("receipt", "verify", "report.json", "--key", "public.json", "--json")
    assert told.code == 0
    assert told.json["type"] == "backup-drill"
    assert told.json["payload"]["passed"] is True
    assert len(told.json["payload"]["opened"]) == told.json["payload"]["files"] == 2
    assert told.json["payload"]["not_checked"]
    assert portal("backup", "drill", "--report", "report.json").code == 2  # never over another


def test_a_drill_that_finds_damage_fails_loudly(portal: Shell, target: Path) -> None:
    large, _ = fill(portal)
    portal("backup", "create")
    (blob,) = blobs(target)
    blob.write_bytes(blob.read_bytes()[:-1] + b"?")
    ran = portal("backup", "drill", "--report", "report.json")
    assert ran.code == 1
    assert str(large) in ran.out
    assert '"passed":false' in (portal.folder / "report.json").read_text()
    blobs(target, "e")[0].write_bytes(b"{}")
    assert portal("backup", "drill", "--report", "next.json").code == 3
    assert not (portal.folder / "next.json").exists()
    events = portal.record("backup.drilled")
    assert [(e["details"]["failed"], e["details"]["problem"]) for e in events] == [(1, None), (0, "backup_unopened")]


def test_backups_move_to_another_master_key(portal: Shell, target: Path, elsewhere: Callable[[], Shell]) -> None:
    fill(portal)
    portal("backup", "create")
    before = blobs(target, "d")[0].read_bytes()
    (old,) = portal("keys", "status", "--json").json["master_keys"]
    configure(portal, f"PORTAL_NEW_KEY={NEW}", "PORTAL_KEY_URLS=env:PORTAL_NEW_KEY,env:PORTAL_MASTER_KEY")
    portal("keys", "rewrap")
    assert portal.query("SELECT status FROM jobs WHERE kind = 'backup' AND payload LIKE '%rewrap%'") == [("queued",)]
    status = {key["key_id"]: key for key in portal("keys", "status", "--json").json["master_keys"]}
    assert status[old["key_id"]]["backups"] == 1
    assert "1 backup(s) cannot be opened" in status[old["key_id"]]["loss"]
    assert "It wraps the keys of 1 backup(s)" in portal("keys", "retire", old["key_id"]).err
    assert portal("backup", "rewrap").out == "rewrapped 1 backup(s)\n"
    assert portal("backup", "rewrap").out == "rewrapped 0 backup(s)\n"
    assert blobs(target, "d")[0].read_bytes() == before
    assert portal("keys", "retire", old["key_id"]).code == 0
    there = elsewhere()
    assert there("backup", "restore").code == 0
    there("keys", "rewrap")
    shutil.rmtree(portal.folder)
    configure(there, "PORTAL_KEY_URLS=env:PORTAL_NEW_KEY")
    assert there("fsck", "--full").code == 0
