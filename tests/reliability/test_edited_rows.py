"""Someone who writes to the database or swaps blobs beneath a running portal: nobody is given a wrong byte, every
attempt is on record, nothing falls over, and `fsck` names each file.

Every edit has a file of its own, so that all of them stand at once and two runs of `fsck` see them all.
"""

import json
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx

from portal.crypto.blob import BlobSealer
from portal.crypto.format import HEAD_SIZE, read_context
from portal.crypto.layout import PRODUCTION
from portal.crypto.wrap import new_key

from ..e2e.conftest import MakePortal, Served
from ..e2e.seen import blob_file, eventually, problem, rows
from ..features.files.test_maintenance import ANOTHER_PART, EDITS
from . import in_parts
from .conftest import Figures

TWO_PARTS = (b"first " * 100, b"second " * 100)
CONTENT = b"".join(TWO_PARTS)
SQL = {
    **{
        name: f"UPDATE {what} WHERE {'id' if what.startswith('files') else 'file_id'} = :file"
        for name, what in EDITS.items()
    },
    "a part more": ANOTHER_PART,
    "no part": "DELETE FROM blobs WHERE file_id = :file",
    "digest, of other text": "UPDATE files SET sha256 = 'Ä' WHERE id = :file",
    "size, huge": "UPDATE files SET size = 9223372036854775807 WHERE id = :file",
    "size, text": "UPDATE files SET size = 'many' WHERE id = :file",
    "scope, of other text": "UPDATE files SET scope = 'Ä' WHERE id = :file",
    "kind": "UPDATE files SET kind = 'none' WHERE id = :file",
    "data key, no id": "UPDATE files SET data_key_id = 'no id' WHERE id = :file",
    "the blob's data key, no id": "UPDATE blobs SET data_key_id = 'no id' WHERE file_id = :file",
    "plain length, text": "UPDATE blobs SET plain_length = 'many' WHERE file_id = :file",
    "stored length, text": "UPDATE blobs SET stored_length = 'many' WHERE file_id = :file",
    "part, text": "UPDATE blobs SET part = 'first' WHERE file_id = :file",
    "generation, huge": "UPDATE blobs SET key_generation = 9223372036854775807 WHERE file_id = :file",
    "commitment, text": "UPDATE blobs SET commitment = '0123456789abcdef0123456789abcdef' WHERE file_id = :file",
    "wrapped key, text": "UPDATE blobs SET wrapped_key = hex(zeroblob(46)) || 'x' WHERE file_id = :file",
    "record, text": "UPDATE files SET record = '0123456789abcdef0123456789abcdefg' WHERE id = :file",
    "another's wrapped key": "UPDATE blobs SET wrapped_key = (SELECT wrapped_key FROM blobs WHERE file_id = :twin)"
    " WHERE file_id = :file",
    "content gone": "UPDATE blobs SET content = NULL WHERE file_id = :file",
    "content, text": "UPDATE blobs SET content = 'text' WHERE file_id = :file",
    "content, empty": "UPDATE blobs SET content = :empty WHERE file_id = :file",
    "content cut": "UPDATE blobs SET content = substr(content, 1, length(content) - 1) WHERE file_id = :file",
    "another's content": "UPDATE blobs SET content = (SELECT content FROM blobs WHERE file_id = :row_twin)"
    " WHERE file_id = :file",
    "another's record": "UPDATE files SET record = (SELECT record FROM files WHERE id = :twin) WHERE id = :file",
}
OF_TWO_PARTS = {
    "the first part dropped": "DELETE FROM blobs WHERE file_id = :file AND part = 0",
    "the second part dropped": "DELETE FROM blobs WHERE file_id = :file AND part = 1",
    "the second part twice": "UPDATE blobs SET part = 1 WHERE file_id = :file",
    "the parts' places changed": "UPDATE blobs SET part = 1 - part WHERE file_id = :file",
    "a part dropped, and its size": "DELETE FROM blobs WHERE file_id = :file AND part = 1;"
    "UPDATE files SET size = 600 WHERE id = :file",
}


def other_blob(ours: Path, theirs: Path) -> None:
    shutil.copyfile(theirs, ours)


def blob_cut(ours: Path, _: Path) -> None:
    ours.write_bytes(ours.read_bytes()[:-1])


def blob_flipped(ours: Path, _: Path) -> None:
    blob = ours.read_bytes()
    ours.write_bytes(blob[:300] + bytes([blob[300] ^ 1]) + blob[301:])


def blob_of_an_earlier_attempt(ours: Path, _: Path) -> None:
    """The same bytes in the same place, under a key that is not the one on record."""
    place = read_context(ours.read_bytes()[:HEAD_SIZE], PRODUCTION.segment)
    sealer = BlobSealer(place, new_key(), PRODUCTION)
    ours.write_bytes(sealer.preamble + sealer.seal(CONTENT, last=True))


BLOBS: dict[str, Callable[[Path, Path], None]] = {
    "another's blob": other_blob,
    "a blob cut": blob_cut,
    "a blob flipped": blob_flipped,
    "the blob of an earlier attempt": blob_of_an_earlier_attempt,
}
BOTH = {"another's blob and wrapped key": (other_blob, "another's wrapped key")}
REFUSED = (500, "integrity_error")
SEEN_BY_FULL_ALONE = {"another's content", "another's blob", "a blob flipped", "the blob of an earlier attempt"}


def edit(portal: Served, statements: str, **ids: str) -> None:
    given = {name: UUID(value).hex for name, value in ids.items()}
    values = {"other": uuid4().hex, "bytes": bytes(range(33)), "empty": b"", "digest": "ab" * 32}
    with closing(sqlite3.connect(portal.folder / "var" / "portal.db", isolation_level=None)) as connection:
        for statement in statements.split(";"):
            connection.execute(statement, values | given | {"scope": f"case:{uuid4().hex}"})


def hand_in_all(portal: Served, analyst: httpx.Client) -> dict[str, str]:
    """A file for each edit, by the edit's name."""
    in_rows, in_store = [*SQL, "row twin", "deleted"], [*BLOBS, *BOTH, "twin"]
    sent = dict.fromkeys(in_rows, CONTENT) | {
        name: iter([CONTENT]) for name in in_store
    }  # who iterates tells no length
    files = {name: str(analyst.put(f"/upload/{uuid4().hex}", content=sent[name]).json()["id"]) for name in sent}
    assert analyst.delete(f"/files/{files['deleted']}", headers={"If-Match": "*"}).status_code == 204
    return files | {name: in_parts.hand_in(portal, "analyst", *TWO_PARTS) for name in [*OF_TWO_PARTS, "two parts"]}


def edit_all(portal: Served, files: dict[str, str]) -> None:
    twin = blob_file(portal, files["twin"])
    for name, damage in [*BLOBS.items(), *((name, damage) for name, (damage, _) in BOTH.items())]:
        damage(blob_file(portal, files[name]), twin)
    statements = SQL | OF_TWO_PARTS | {name: SQL[statement] for name, (_, statement) in BOTH.items()}
    for name, statement in statements.items():
        twins = {"twin": files["twin"], "row_twin": files["row twin"]}
        edit(portal, statement, file=files[name], file_of_another=files["deleted"], **twins)


def refusals(analyst: httpx.Client, file_id: str) -> set[tuple[int, str]]:
    """What a client is told that wants the file, whole and in part. HEAD may describe it, but not fall over."""
    path = f"/files/{file_id}/content"
    assert analyst.head(path).status_code in {200, 500}
    return {problem(analyst.get(path, headers=headers)) for headers in ({}, {"Range": "bytes=0-9"})}


def on_record(portal: Served) -> Counter[str]:
    """How often each file is on record as damaged: when a download ended, or because none could begin."""
    audit = portal.audit()
    return Counter(e["subject"] for e in audit if "damaged" in {e["event"].removeprefix("file."), *outcome(e)})


def outcome(event: dict[str, Any]) -> list[str]:
    return [event["details"]["outcome"]] if event["event"] == "file.download_ended" else []


def fsck(portal: Served, *how: str) -> dict[str, str]:
    """The names of the files it names, by id, after its exit code was looked at. Blobs that lost their row are none."""
    ran = portal.cli("fsck", "--json", *how, check=False)
    problems = json.loads(ran.stdout)["problems"]
    assert ran.returncode == (1 if problems else 0)
    return {item["file_id"]: item["name"] for item in problems if item["problem"] == "damaged"}


def test_no_edit_of_rows_or_blobs_delivers_a_byte_and_each_is_on_record_and_found(
    make_portal: MakePortal, figures: Figures
) -> None:
    portal = make_portal()
    portal.prepare(analyst="analyst")
    portal.start()
    with portal.client("analyst") as analyst:
        files = hand_in_all(portal, analyst)
        assert fsck(portal, "--full") == {}
        edit_all(portal, files)
        sound, _ = [files.pop(name) for name in ("twin", "row twin", "two parts")], files.pop("deleted")
        told = {name: refusals(analyst, file_id) for name, file_id in files.items()}
        assert {name: what for name, what in told.items() if what != {REFUSED}} == {}
        asked = dict.fromkeys(files.values(), 2)
        assert eventually(lambda: on_record(portal) == asked)
        assert [analyst.get(f"/files/{file_id}/content").content for file_id in sound] == [CONTENT] * 3
    assert "request_failed" not in portal.log
    found, found_by_full = fsck(portal), fsck(portal, "--full")
    assert found.keys() == {file_id for name, file_id in files.items() if name not in SEEN_BY_FULL_ALONE}
    assert found_by_full.keys() == set(files.values())
    names = {str(UUID(file_id)): name for file_id, name in rows(portal, "SELECT id, name FROM files")}
    unreadable = {files[name] for name in ("kind", "data key, no id", "size, text", "record, text")}
    assert found_by_full == {file_id: "" if file_id in unreadable else names[file_id] for file_id in files.values()}
    figures(edits=len(files), refused=sum(asked.values()), found_by_fsck=len(found_by_full))
