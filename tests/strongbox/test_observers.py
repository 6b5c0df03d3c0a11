"""The observers of one pass: digest, size, type and verdict."""

import subprocess
import sys
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.backends.scanners.base import ScanOutcome, Verdict
from portal.backends.scanners.memory import MemoryScanner
from portal.backends.scanners.none import NoScanner
from portal.strongbox import sniff
from portal.strongbox.model import Findings
from portal.strongbox.observers import Observers
from portal.strongbox.sniff import SNIFFED_BYTES, TEXT_BYTES, UNKNOWN, Sniffer

PDF = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<< /Type /Catalog >>\nendobj\n"
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x02\0\0\0"
ELF = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\0\x3e\0\x01\0\0\0" + bytes(40)


def sniffed(*chunks: bytes) -> str:
    sniffer = Sniffer()
    for chunk in chunks:
        sniffer.feed(chunk)
    return sniffer.finish()


async def observed(scanners: list[Any], *chunks: bytes) -> Findings:
    observers = Observers(scanners)
    observers.begin()
    for number, chunk in enumerate(chunks, 1):
        observers.feed(chunk, last=number == len(chunks))
        await observers.scan(chunk)
    return await observers.finish()


@pytest.mark.parametrize(
    ("head", "types"),
    [
        (PDF, {"application/pdf"}),
        (PNG, {"image/png"}),
        (ELF, {"application/x-executable"}),
        (
            b"MZ" + bytes(58) + b"\x40\0\0\0PE\0\0",
            {"application/x-dosexec", "application/vnd.microsoft.portable-executable"},
        ),
        (b"a plain sentence, and another one.\n", {"text/plain"}),
        (b"PK\x05\x06" + bytes(18), {"application/zip"}),
    ],
    ids=["PDF", "PNG", "ELF", "PE", "text", "ZIP"],
)
def test_a_well_known_type_is_named(head: bytes, types: set[str]) -> None:
    assert sniffed(head) in types


def test_what_runs_these_tests_is_known_for_a_program() -> None:
    head = Path("/proc/self/exe").read_bytes()[:SNIFFED_BYTES]
    assert sniffed(head) in {"application/x-executable", "application/x-pie-executable", "application/x-sharedlib"}


def test_nothing_has_a_type_too() -> None:
    assert sniffed() == sniffed(b"") == sniffed(b"", b"")
    assert sniffed() in {"application/x-empty", "inode/x-empty", UNKNOWN}


@given(st.binary(max_size=500))
def test_garbage_never_raises_and_gets_a_short_type(garbage: bytes) -> None:
    for prefix in (b"", PDF[:8], PNG[:8], ELF[:4], b"PK\x03\x04", b"\xff\xd8\xff", b"MZ", b"<?xml "):
        named = sniffed(prefix + garbage)
        assert 0 < len(named) <= 200
        assert named.isprintable()


@given(st.lists(st.integers(0, len(PDF)), max_size=6))
def test_the_type_does_not_depend_on_how_the_bytes_were_cut(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(PDF)]
    assert sniffed(*(PDF[start:end] for start, end in pairwise(edges))) == "application/pdf"


class Answer:
    """A libmagic that answers always the same, and remembers what it saw."""

    def __init__(self, answer: object) -> None:
        self.answer, self.seen = answer, list[bytes]()

    def from_buffer(self, head: bytes) -> object:
        self.seen.append(head)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def answering(patch: pytest.MonkeyPatch, answer: object) -> Answer:
    libmagic = Answer(answer)
    patch.setattr(sniff, "_detector", lambda *, database: libmagic)  # noqa: ARG005
    return libmagic


def test_libmagic_sees_the_first_bytes_and_of_a_text_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    libmagic = answering(monkeypatch, "text/plain")
    assert sniffed(b"a" * 8_000, b"b" * 100, b"c" * 100_000, b"d") == "text/plain"
    assert libmagic.seen == [b"a" * 8_000 + b"b" * 100 + b"c" * 92, b"a" * TEXT_BYTES]


@pytest.mark.parametrize("answer", ["", "x" * 1_000, None])
def test_an_odd_answer_is_cut_or_replaced(monkeypatch: pytest.MonkeyPatch, answer: str | None) -> None:
    answering(monkeypatch, answer)
    assert 0 < len(sniffed(PDF)) <= 200


def test_a_sniffer_that_fails_knows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, ValueError("a parser of hostile bytes"))
    assert sniffed(PDF) == UNKNOWN


def test_a_machine_without_libmagic_knows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*, database: bool) -> NoReturn:
        raise ImportError(f"failed to find libmagic: {database}")

    monkeypatch.setattr(sniff, "_detector", missing)
    assert sniffed(PDF) == UNKNOWN


@given(st.lists(st.binary(max_size=100), max_size=6))
async def test_size_and_digest_are_of_the_whole(chunks: list[bytes]) -> None:
    findings = await observed([NoScanner()], *chunks)
    assert findings.size == sum(map(len, chunks))
    assert findings.sha256 == sha256(b"".join(chunks)).digest()


async def test_the_worst_of_several_verdicts_stands() -> None:
    scanners = [MemoryScanner("one"), NoScanner(), MemoryScanner("two")]
    assert (await observed(scanners, b"neither")).verdict == Verdict(ScanOutcome.NOT_SCANNED)
    assert (await observed(scanners, b"number tw", b"o")).verdict == Verdict(ScanOutcome.INFECTED, "marker")
    assert (await observed(scanners[:1], b"clean")).verdict == Verdict(ScanOutcome.CLEAN)


async def test_abort_is_idempotent() -> None:
    observers = Observers([NoScanner(), MemoryScanner("x")])
    observers.begin()
    observers.feed(b"half", last=False)
    await observers.scan(b"half")
    await observers.abort()
    await observers.abort()


def test_the_carried_libmagic_is_used_where_the_system_has_none() -> None:
    # In a process of its own: the two libraries cannot live in one.
    program = """
import ctypes, ctypes.util
real, find = ctypes.CDLL, ctypes.util.find_library
carried = []
def load(name, *arguments, **options):
    if name in {"libmagic.so.1", "system"} and not carried:
        raise OSError("no such library")
    return real(name, *arguments, **options)
ctypes.CDLL = load
ctypes.util.find_library = lambda name: "system" if name == "magic" else find(name)
import importlib
plain = importlib.import_module
def noticed(name, *arguments):
    if name == "pylibmagic":
        ctypes.CDLL, ctypes.util.find_library = real, find
        carried.append(name)
    return plain(name, *arguments)
importlib.import_module = noticed
from portal.strongbox.sniff import Sniffer
sniffer = Sniffer()
sniffer.feed(b"%PDF-1.4\\n1 0 obj<</Type/Catalog>>endobj\\n")
print(sniffer.finish(), set(carried))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "application/pdf {'pylibmagic'}\n", done.stderr
