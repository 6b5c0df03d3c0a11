"""Damage is never delivered: one bit of a blob that rests on the disk of a running portal, at hundreds of places.

Each place is flipped, asked for once over a raw socket, and flipped back. What a request needs is worked out here from
the page of the format: the heads and last segments of the parts it touches, and the segments it wants.
"""

import json
import os
import random
import secrets
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from ..e2e.conftest import MakePortal, Served
from ..e2e.raw import Wire, bearer, head
from ..e2e.seen import eventually, problem, rows
from . import in_parts
from .amounts import amount
from .conftest import Figures

SEGMENT, HEAD, PREAMBLE, TAG = 1 << 20, 128, 168, 16
PARTS = (secrets.token_bytes(5 * SEGMENT // 2), secrets.token_bytes(100_000))  # three segments, and one
CONTENT = b"".join(PARTS)
BORDER = len(PARTS[0])
COPIES = 4  # of the file, so that several are asked for at once
A_SESSION = 500  # requests


@dataclass(frozen=True, slots=True)
class Flaw:
    """One bit of one part's blob."""

    part: int
    at: int
    bit: int

    @property
    def segment(self) -> int:
        return max(self.at - HEAD, 0) // SEGMENT

    @property
    def plain(self) -> int:
        """A byte of the file that cannot be had without what is damaged."""
        inside = min(max(self.at - PREAMBLE - TAG * self.segment, 0), plain_end(self.segment) - 1)
        return self.part * BORDER + min(inside, len(PARTS[self.part]) - 1)

    def hurts(self, start: int, end: int) -> bool:
        """Whether the bytes from `start` to `end` cannot be had."""
        origin, size = self.part * BORDER, len(PARTS[self.part])
        begin, stop = max(start - origin, 0), min(end - origin, size)
        if begin >= stop:
            return False
        wanted = range(segment_of(begin), segment_of(stop - 1) + 1)
        return self.at < PREAMBLE or self.segment in wanted or self.segment == segment_of(size - 1)


@dataclass(frozen=True, slots=True)
class Ask:
    """A request: its header lines, and the bytes from `start` to `end` that are its answer if there is one."""

    status: int
    start: int
    end: int
    lines: tuple[str, ...] = ()


@dataclass(slots=True)
class Tally:
    """What came of all requests. `touched` and `untouched` are their ids, as the portal named them."""

    touched: list[str] = field(default_factory=list)
    untouched: list[str] = field(default_factory=list)
    came: list[str] = field(default_factory=list)
    wrong: list[tuple[Flaw, Ask]] = field(default_factory=list)
    delivered: list[tuple[Flaw, Ask]] = field(default_factory=list)
    withheld: list[tuple[Flaw, Ask]] = field(default_factory=list)


def plain_end(segment: int) -> int:
    """Where a full segment ends in the plaintext of its part."""
    return (segment + 1) * (SEGMENT - TAG) - (PREAMBLE - HEAD)


def segment_of(plain: int) -> int:
    return (plain + PREAMBLE - HEAD) // (SEGMENT - TAG)


def flaws(sizes: Sequence[int], count: int, chance: random.Random) -> list[Flaw]:
    """Every byte of the preambles and tags, both sides of every edge, and as many others as are still wanted."""
    places: dict[tuple[int, int], None] = {}
    for part, size in enumerate(sizes):
        ends = [*range(HEAD + SEGMENT, size, SEGMENT), size]
        edges = [at for end in ends for at in (*range(end - TAG - 2, end), end, end + 1) if at < size]
        places |= dict.fromkeys((part, at) for at in (*range(PREAMBLE + 2), *edges))
    while len(places) < count:
        part = chance.randrange(len(sizes))
        places[part, chance.randrange(sizes[part])] = None
    return [Flaw(part, at, chance.randrange(8)) for part, at in places]


def asks(flaw: Flaw, tag: str) -> list[Ask]:
    """Every way to ask for a file that has this flaw."""
    size, at, origin = len(CONTENT), flaw.plain, flaw.part * BORDER
    return [
        Ask(200, 0, size),
        Ask(206, at, at + 1, (f"Range: bytes={at}-{at}",)),
        Ask(206, BORDER - 5, BORDER + 5, (f"Range: bytes={BORDER - 5}-{BORDER + 4}",)),
        Ask(206, origin, origin + 9, (f"Range: bytes={origin}-{origin + 8}",)),  # proves the end of the part first
        Ask(206, at, at + 1, (f"Range: bytes={at}-{at}", f"If-Range: {tag}")),
        Ask(206, at, size, (f"Range: bytes={at}-",)),
        Ask(200, 0, size, (f"Range: bytes={at}-", 'If-Range: "another"')),
    ]


@contextmanager
def flipped(blob: int, flaw: Flaw) -> Iterator[None]:
    (byte,) = os.pread(blob, 1, flaw.at)
    os.pwrite(blob, bytes([byte ^ 1 << flaw.bit]), flaw.at)
    yield
    os.pwrite(blob, bytes([byte]), flaw.at)


@contextmanager
def opened_blobs(portal: Served, file_id: str) -> Iterator[list[int]]:
    """The file's blobs in order, as descriptors to write to."""
    keys = rows(portal, "SELECT id FROM blobs WHERE file_id = ? ORDER BY part", file_id.replace("-", ""))
    store = portal.folder / "var" / "store" / "blobs"
    blobs = [os.open(Path(store, key[-2:], key), os.O_RDWR) for (key,) in keys]
    yield blobs
    for blob in blobs:
        os.close(blob)


def judge(flaw: Flaw, ask: Ask, answer: httpx.Response, tally: Tally) -> bool:
    """Put down what came of a request; returns whether its connection lives on."""
    truth, hurts = CONTENT[ask.start : ask.end], flaw.hurts(ask.start, ask.end)
    (tally.touched if hurts else tally.untouched).append(answer.headers["x-request-id"])
    refused = answer.status_code != ask.status
    if refused:
        assert problem(answer) == (500, "integrity_error"), (flaw, ask)
    else:
        assert int(answer.headers["content-length"]) == len(truth)
        tally.wrong += [] if truth.startswith(answer.content) else [(flaw, ask)]
    whole = not refused and len(answer.content) == len(truth)
    tally.came.append("refused_at_once" if refused else "sound" if whole else "broken_off")
    tally.delivered += [(flaw, ask)] if whole and hurts else []
    tally.withheld += [] if whole or hurts else [(flaw, ask)]
    return whole or refused


def ask_all(portal: Served, file_id: str, tag: str, chosen: Sequence[tuple[int, Flaw]], tally: Tally) -> None:
    """Flip, ask and flip back, one after the other; a new session now and then, because none lives for ever."""
    for start in range(0, len(chosen), A_SESSION):
        with portal.client("analyst") as analyst, opened_blobs(portal, file_id) as blobs:
            get = head("GET", f"/api/v1/files/{file_id}/content", bearer(analyst)).removesuffix(b"\r\n")
            wire = Wire(portal.port)
            for number, flaw in chosen[start : start + A_SESSION]:
                ways = asks(flaw, tag)
                ask = ways[number % len(ways)]
                with flipped(blobs[flaw.part], flaw):
                    wire.send(get, *(f"{line}\r\n".encode() for line in ask.lines), b"\r\n")
                    answer = wire.answer()
                if not judge(flaw, ask, answer, tally):
                    assert wire.ended()
                    wire.leave()
                    wire = Wire(portal.port)
            wire.leave()
        print(f"{len(tally.came)} positions done")


def on_record(portal: Served, outcome: str) -> list[str]:
    """The requests whose download ended so, one for each time it is on record."""
    bodies = (
        json.loads(body) for (body,) in rows(portal, "SELECT body FROM audit WHERE event = 'file.download_ended'")
    )
    return sorted(body["request_id"] for body in bodies if body["details"]["outcome"] == outcome)


def test_no_flipped_bit_is_delivered_and_each_is_on_record(make_portal: MakePortal, figures: Figures) -> None:
    seed = int(os.environ.get("PORTAL_TEST_SEED") or secrets.randbits(32))
    print(f"PORTAL_TEST_SEED={seed}")
    portal = make_portal()
    portal.prepare(analyst="analyst")
    portal.start()
    copies = [in_parts.hand_in(portal, "analyst", *PARTS) for _ in range(COPIES)]
    tags = [whole(portal, file_id) for file_id in copies]
    with opened_blobs(portal, copies[0]) as blobs:
        sizes = [os.fstat(blob).st_size for blob in blobs]
    found = flaws(sizes, amount("DAMAGED_POSITIONS"), random.Random(seed))  # noqa: S311  # places, no secrets
    chosen, tally = list(enumerate(found)), Tally()
    with ThreadPoolExecutor(COPIES) as threads:
        shares = [chosen[number::COPIES] for number in range(COPIES)]
        list(threads.map(lambda file_id, tag, share: ask_all(portal, file_id, tag, share, tally), copies, tags, shares))
    assert (tally.wrong, tally.delivered, tally.withheld) == ([], [], [])
    assert eventually(lambda: len(on_record(portal, "damaged")) >= len(tally.touched))
    assert on_record(portal, "damaged") == sorted(tally.touched)
    assert eventually(lambda: set(on_record(portal, "finished")) >= set(tally.untouched))
    assert [whole(portal, file_id) for file_id in copies] == tags  # it was the damage, and nothing else
    figures(
        positions=len(chosen),
        requests_that_touched_damage=len(tally.touched),
        **Counter(tally.came),
        answers_with_a_wrong_byte=len(tally.wrong),
        damage_delivered_as_a_success=len(tally.delivered),
        on_record_as_damaged=len(on_record(portal, "damaged")),
        seed=seed,
    )


def whole(portal: Served, file_id: str) -> str:
    """The tag of a file of which every byte is right."""
    with portal.client("analyst") as analyst:
        answer = analyst.get(f"/files/{file_id}/content")
    assert answer.content == CONTENT
    return answer.headers["etag"]
