"""The kinds of files that are named: libmagic's as by its whole database, and those that it does not know."""

import importlib
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.strongbox import sniff
from portal.strongbox.sniff import LINES, SNIFFED_BYTES, UNKNOWN, Sniffer

from .kinds import BOOT, OURS, PRIMARY, TOLD, iso, zipped

RECORDED_WITH = 544  # the version of libmagic that named the kinds of `TOLD`: Debian 12's


def sniffed(*chunks: bytes) -> str:
    sniffer = Sniffer()
    for chunk in chunks:
        sniffer.feed(chunk)
    return sniffer.finish()


@pytest.fixture(scope="module")
def libmagic() -> Any:
    assert sniff.library() is not None
    return importlib.import_module("magic")


@pytest.mark.parametrize(("sample", "recorded"), TOLD.values(), ids=TOLD)
def test_a_kind_is_named_as_by_the_whole_database(libmagic: Any, sample: bytes, recorded: str) -> None:
    named = sniffed(sample)
    assert named == libmagic.from_buffer(sample[:SNIFFED_BYTES], mime=True)
    if libmagic.version() == RECORDED_WITH:
        assert named == recorded != UNKNOWN


@pytest.mark.parametrize(("sample", "expected"), OURS.values(), ids=OURS)
def test_a_kind_that_libmagic_does_not_know_is_named(sample: bytes, expected: str) -> None:
    assert sniffed(sample) == expected


@given(kind=st.sampled_from(sorted(OURS)), places=st.lists(st.integers(0, 60_000), max_size=4))
def test_a_kind_is_named_whatever_the_cuts(kind: str, places: list[int]) -> None:
    sample, expected = OURS[kind]
    edges = sorted({0, len(sample), *(place % (len(sample) + 1) for place in places)})
    assert sniffed(*(sample[start:end] for start, end in pairwise(edges))) == expected


@pytest.mark.parametrize(
    ("sample", "expected"),
    [
        (iso(PRIMARY, begins=TOLD["pdf"][0]), "application/pdf"),
        (zipped(("a", b"x")) + b"conectix" + bytes(504), "application/zip"),
        (zipped(("a", b"x"), ("container.description", b"x")), "application/zip"),
        (BOOT + b"conectix" + bytes(504) + b"x", UNKNOWN),
        (bytes(32768) + PRIMARY[:5], UNKNOWN),
        (b"x" * 9000 + b"EMiL", "text/plain"),
    ],
    ids=["a PDF before an ISO", "a ZIP before a VHD", "a ZIP", "no footer", "half a mark", "a text"],
)
def test_a_file_that_is_two_things_is_what_it_begins_with(sample: bytes, expected: str) -> None:
    assert sniffed(sample) == expected


@pytest.mark.parametrize(("before", "expected"), [(LINES - 1, "text/html"), (LINES, "text/plain")])
def test_a_kind_is_told_by_the_first_lines(before: int, expected: str) -> None:
    assert sniffed(b"\n" * before + b"<!DOCTYPE html><html>") == expected
