"""Stored bytes that are not what was sealed: a clean error or a broken connection, never a complete wrong body."""

import os
import secrets
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from .conftest import Served
from .seen import blob_file, events, eventually, outcomes, problem

PREAMBLE = 168  # head and stream header of a blob
SEGMENT = 1 << 20  # sealed
SIZE = 5 * SEGMENT - 200  # five segments: the store gives two in one piece
CONTENT = secrets.token_bytes(SIZE)

Damage = Callable[[Path, Path], None]


def flip(place: int) -> Damage:
    """One bit, counted from the end where `place` is negative."""

    def damage(blob: Path, _: Path) -> None:
        with blob.open("r+b") as file:
            file.seek(place, os.SEEK_END if place < 0 else os.SEEK_SET)
            byte = file.read(1)[0]
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte ^ 0x10]))

    return damage


def cut(size: int) -> Damage:
    return lambda blob, _: os.truncate(blob, blob.stat().st_size - size)


def grow(blob: Path, _: Path) -> None:
    blob.write_bytes(blob.read_bytes() + b"\0")


def empty(blob: Path, _: Path) -> None:
    os.truncate(blob, 0)


def swap(blob: Path, other: Path) -> None:
    blob.write_bytes(other.read_bytes())


def lose(blob: Path, _: Path) -> None:
    blob.unlink()


def link(blob: Path, other: Path) -> None:
    blob.unlink()
    blob.symlink_to(other)


def replace_with_folder(blob: Path, _: Path) -> None:
    blob.unlink()
    blob.mkdir()


def replace_with_pipe(blob: Path, _: Path) -> None:
    blob.unlink()
    os.mkfifo(blob)


SEEN_AT_ONCE: dict[str, Damage] = {
    "the magic": flip(0),
    "the version": flip(4),
    "the file id": flip(8),
    "a reserved byte": flip(60),
    "the commitment": flip(100),
    "the salt": flip(140),
    "the first byte": flip(PREAMBLE),
    "the first segment's tag": flip(128 + SEGMENT - 1),
    "one byte less": cut(1),
    "a segment less": cut(SEGMENT - 200),
    "one byte more": grow,
    "no bytes": empty,
    "another file's blob": swap,
    "no blob": lose,
    "a link to another file's blob": link,
    "a folder": replace_with_folder,
    "a pipe": replace_with_pipe,
}
SEEN_WITH_THE_FIRST: dict[str, Damage] = {
    "the second segment": flip(128 + SEGMENT),
    "the second segment's tag": flip(128 + 2 * SEGMENT - 1),
}
SEEN_LATER: dict[str, Damage] = {
    "the third segment": flip(128 + 2 * SEGMENT),
    "the fourth segment's tag": flip(128 + 4 * SEGMENT - 1),
    "the last segment": flip(-100),
    "the very last bit": flip(-1),
}


@pytest.fixture
def entry(portal: Served, analyst: httpx.Client) -> Iterator[dict[str, Any]]:
    """A file to damage. It is deleted afterwards: the portal is shared."""
    created = analyst.put(f"/upload/{secrets.token_hex(8)}", content=CONTENT).json()
    blob = blob_file(portal, created["id"])
    yield created
    if blob.is_dir():
        blob.rmdir()
    assert analyst.delete(f"/files/{created['id']}", headers={"If-Match": "*"}).status_code == 204


@pytest.fixture
def damaged(portal: Served, analyst: httpx.Client, entry: dict[str, Any]) -> Iterator[Callable[[Damage], None]]:
    """Damages the file, with another one of the same size at hand."""
    other = analyst.put(f"/upload/{secrets.token_hex(8)}", content=secrets.token_bytes(SIZE)).json()
    yield lambda damage: damage(blob_file(portal, entry["id"]), blob_file(portal, other["id"]))
    assert analyst.get(f"/files/{other['id']}/content").status_code == 200
    assert analyst.delete(f"/files/{other['id']}", headers={"If-Match": "*"}).status_code == 204


def get(client: httpx.Client, entry: dict[str, Any], asked: str | None = None) -> httpx.Response:
    headers = {} if asked is None else {"Range": asked}
    return client.get(f"/files/{entry['id']}/content", headers=headers)


@pytest.mark.parametrize("damage", SEEN_AT_ONCE.values(), ids=SEEN_AT_ONCE)
def test_damage_seen_before_the_first_byte_is_a_clean_error(
    portal: Served,
    analyst: httpx.Client,
    entry: dict[str, Any],
    damaged: Callable[[Damage], None],
    damage: Damage,
) -> None:
    damaged(damage)
    for asked in (None, "bytes=0-9"):
        refused = get(analyst, entry, asked)
        assert problem(refused) == (500, "integrity_error")
        assert {"etag", "repr-digest", "content-range", "content-disposition"}.isdisjoint(refused.headers)
    assert eventually(lambda: outcomes(portal, entry["id"]) == ["damaged", "damaged"])
    assert analyst.get(f"/files/{entry['id']}").json() == entry


@pytest.mark.parametrize("damage", SEEN_WITH_THE_FIRST.values(), ids=SEEN_WITH_THE_FIRST)
@pytest.mark.parametrize("asked", [None, "bytes=10-"], ids=["whole", "range"])
def test_damage_in_what_is_read_along_with_the_first_segment_is_a_clean_error_too(
    portal: Served,
    analyst: httpx.Client,
    entry: dict[str, Any],
    damaged: Callable[[Damage], None],
    damage: Damage,
    asked: str | None,
) -> None:
    damaged(damage)
    assert problem(get(analyst, entry, asked)) == (500, "integrity_error")
    assert eventually(lambda: outcomes(portal, entry["id"]) == ["damaged"])


@pytest.mark.parametrize("damage", SEEN_LATER.values(), ids=SEEN_LATER)
@pytest.mark.parametrize("asked", [None, "bytes=10-"], ids=["whole", "range"])
def test_damage_further_on_never_ends_as_a_complete_body(
    portal: Served,
    analyst: httpx.Client,
    entry: dict[str, Any],
    damaged: Callable[[Damage], None],
    damage: Damage,
    asked: str | None,
) -> None:
    damaged(damage)
    received: list[bytes] = []
    headers = {} if asked is None else {"Range": asked}
    with analyst.stream("GET", f"/files/{entry['id']}/content", headers=headers) as answer:
        assert answer.status_code == (200 if asked is None else 206)
        announced = int(answer.headers["content-length"])
        with pytest.raises(httpx.RemoteProtocolError):
            received.extend(answer.iter_raw())
    content = b"".join(received)
    assert len(content) < announced
    assert CONTENT[0 if asked is None else 10 :].startswith(content)
    assert eventually(lambda: outcomes(portal, entry["id"]) == ["damaged"])
    assert events(portal, entry["id"])[-1]["details"]["sent"] <= len(content) + SEGMENT


@pytest.mark.parametrize("damage", [flip(-1), cut(1), cut(SEGMENT)], ids=["a bit", "a byte", "a segment"])
def test_a_range_of_a_file_whose_end_is_damaged_is_refused(
    portal: Served,
    analyst: httpx.Client,
    entry: dict[str, Any],
    damaged: Callable[[Damage], None],
    damage: Damage,
) -> None:
    damaged(damage)
    assert problem(get(analyst, entry, "bytes=5-6")) == (500, "integrity_error")
    assert eventually(lambda: outcomes(portal, entry["id"]) == ["damaged"])


def test_a_range_beside_the_damage_is_delivered_and_one_inside_is_not(
    analyst: httpx.Client, entry: dict[str, Any], damaged: Callable[[Damage], None]
) -> None:
    damaged(flip(128 + SEGMENT + 5))
    assert get(analyst, entry, "bytes=100-199").content == CONTENT[100:200]
    assert get(analyst, entry, "bytes=-10").content == CONTENT[-10:]
    assert problem(get(analyst, entry, f"bytes={SEGMENT + 100}-{SEGMENT + 200}")) == (500, "integrity_error")


@pytest.mark.parametrize("size", [0, 1000])
def test_a_small_file_in_the_store_is_no_less_protected(portal: Served, analyst: httpx.Client, size: int) -> None:
    created = analyst.put(f"/upload/{secrets.token_hex(8)}", content=iter([bytes(size)])).json()
    blob = blob_file(portal, created["id"])
    sound = blob.read_bytes()
    for place in range(0, len(sound), max(1, len(sound) // 30)):
        blob.write_bytes(sound[:place] + bytes([sound[place] ^ 1]) + sound[place + 1 :])
        assert problem(get(analyst, created)) == (500, "integrity_error")
    blob.write_bytes(sound)
    assert get(analyst, created).content == bytes(size)


@pytest.mark.parametrize("size", [0, 1000])
def test_a_small_file_in_its_row_is_no_less_protected(portal: Served, analyst: httpx.Client, size: int) -> None:
    created = analyst.put(f"/upload/{secrets.token_hex(8)}", content=bytes(size)).json()
    of_it = UUID(created["id"]).hex
    with closing(sqlite3.connect(portal.folder / "var" / "portal.db", isolation_level=None)) as database:
        ((sound,),) = database.execute("SELECT content FROM blobs WHERE file_id = ?", (of_it,)).fetchall()
        for place in range(0, len(sound), max(1, len(sound) // 30)):
            damaged = sound[:place] + bytes([sound[place] ^ 1]) + sound[place + 1 :]
            database.execute("UPDATE blobs SET content = ? WHERE file_id = ?", (damaged, of_it))
            assert problem(get(analyst, created)) == (500, "integrity_error")
        database.execute("UPDATE blobs SET content = ? WHERE file_id = ?", (sound, of_it))
    assert get(analyst, created).content == bytes(size)


def test_the_log_names_the_damaged_file_under_the_request(
    portal: Served, analyst: httpx.Client, entry: dict[str, Any], damaged: Callable[[Damage], None]
) -> None:
    damaged(flip(-1))
    refused = get(analyst, entry, "bytes=0-0")
    lines = [line for line in portal.log.splitlines() if '"file_damaged"' in line and entry["id"] in line]
    assert len(lines) == 1
    assert refused.headers["x-request-id"] in lines[0]
