"""`portal keys reencrypt`: what an operator sees, and does, when somebody may know a key."""

from uuid import UUID

from portal.core.ids import new_id

from .conftest import Shell
from .test_keys import CONTENT, configure

LARGE = bytes(range(256)) * 1200  # not in a row


def blobs(portal: Shell) -> set[tuple[object, ...]]:
    return set(portal.query("SELECT id, wrapped_key FROM blobs WHERE goes_at IS NULL"))


def test_an_exposed_master_key_is_moved_away_from_and_no_file_keeps_its_key(portal: Shell) -> None:
    portal.hand_in(CONTENT)
    portal.hand_in(LARGE)
    (exposed,) = portal("keys", "status", "--json").json["master_keys"]
    refused = portal("keys", "reencrypt", "--key", exposed["key_id"])
    assert (refused.code, refused.err) == (
        3,
        "portal: It wraps new data keys: put another provider in front of it and restart every portal first.\n",
    )
    configure(portal, "env:PORTAL_NEW_KEY,env:PORTAL_MASTER_KEY")
    assert portal("keys", "rewrap", "--json").json["status"] == "done"
    before = blobs(portal)
    size = len(CONTENT) + len(LARGE)
    asked = ("keys", "reencrypt", "--key", exposed["key_id"])
    assert portal(*asked, "--dry-run").out == f"2 file(s), {size} bytes, would get new keys\n"
    done = portal(*asked, "--json").json
    assert (done["status"], done["files"], done["bytes"], done["left"]) == ("done", 2, size, 0)
    assert not {row[0] for row in blobs(portal)} & {row[0] for row in before}
    assert portal(*asked, "--dry-run", "--json").json == {"files": 0, "bytes": 0}
    assert portal("keys", "retire", exposed["key_id"]).code == 0
    configure(portal, "env:PORTAL_NEW_KEY")
    assert portal("fsck", "--full", "--json").json["problems"] == []
    assert len(portal.record("file.reencrypted")) == 2


def test_a_file_a_time_and_a_rate_can_be_named(portal: Shell) -> None:
    portal.hand_in(CONTENT)
    ((file_id,),) = portal.query("SELECT id FROM files")
    one = ("keys", "reencrypt", "--file", str(UUID(str(file_id))))
    assert portal(*one, "--rate", "1000").out == f"1 file(s), {len(CONTENT)} bytes, have new keys\n"
    assert portal("keys", "reencrypt", "--sealed-before", "2026-01-01", "--dry-run", "--json").json["files"] == 0
    late = ("keys", "reencrypt", "--sealed-before", "2100-01-01T00:00:00+02:00")
    assert portal(*late).out == f"1 file(s), {len(CONTENT)} bytes, have new keys\n"
    assert len(portal.record("file.reencrypted")) == 2


def test_something_has_to_be_named_and_known(portal: Shell) -> None:
    ran = portal("keys", "reencrypt")
    assert ran.code == 2
    assert ran.err.startswith("portal: Invalid value for --file, --case, --sealed-before, --key: say which files")
    for option in ("--file", "--case", "--key"):
        ran = portal("keys", "reencrypt", option, str(new_id()))
        assert (ran.code, ran.err) == (3, "portal: there is no such file, case or key\n")


def test_a_damaged_file_is_named_and_the_others_are_done(portal: Shell) -> None:
    portal.hand_in(CONTENT)
    portal.hand_in(LARGE)
    *_, blob = sorted((portal.folder / "var" / "store" / "blobs").glob("*/*"), key=lambda path: path.stat().st_size)
    damaged = bytearray(blob.read_bytes())
    damaged[200_000] ^= 1
    blob.write_bytes(damaged)
    ran = portal("keys", "reencrypt", "--sealed-before", "2100-01-01")
    first, left, why = ran.out.splitlines()
    assert ran.code == 1
    assert first == f"1 file(s), {len(CONTENT)} bytes, have new keys"
    assert left.startswith("left: ")
    assert "is failed: job_failed: 1 file(s) left" in why
    (event,) = portal.record("file.not_reencrypted")
    assert event["details"] == {"reason": "integrity_error"}
    assert blob.read_bytes() == damaged
