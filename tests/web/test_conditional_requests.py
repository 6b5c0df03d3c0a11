"""Conditions against a naive reading of RFC 9110: a range is the set of positions it asks for."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from portal.core.errors import InvalidInput, PreconditionFailed, PreconditionRequired, RangeNotSatisfiable
from portal.web.conditional_requests import expected_version, range_request, version_tag

TAG = f'"{"ab" * 32}"'

sizes = st.integers(0, 40)
positions = st.integers(0, 45)


def wanted_range(header: str | None, if_range: str | None, tag: str, size: int) -> tuple[int, int] | None:
    """(start, length) of the range that the headers ask for; None for the whole file."""
    sent = {"range": header, "if-range": if_range}
    headers = Headers(
        raw=[(name.encode(), text.encode("latin-1", "replace")) for name, text in sent.items() if text is not None]
    )
    found = range_request(headers).resolve(size, tag)
    if not found.partial:
        assert (found.start, found.length) == (0, size)
    return (found.start, found.length) if found.partial else None


def chosen(header: str | None, size: int, if_range: str | None = None) -> set[int]:
    """The positions that an answer would carry."""
    wanted = wanted_range(header, if_range, TAG, size)
    if wanted is None:
        return set(range(size))
    start, length = wanted
    assert length > 0
    return set(range(start, start + length))


@given(size=sizes, first=positions, last=st.none() | positions)
@example(size=10, first=0, last=9)
@example(size=10, first=9, last=9)
@example(size=10, first=10, last=None)
@example(size=0, first=0, last=None)
def test_a_range_is_the_positions_between_its_ends(size: int, first: int, last: int | None) -> None:
    header = f"bytes={first}-" if last is None else f"bytes={first}-{last}"
    if last is not None and last < first:
        assert wanted_range(header, None, TAG, size) is None  # invalid: the header counts as absent
        return
    asked = {place for place in range(size) if first <= place and (last is None or place <= last)}
    if asked:
        assert chosen(header, size) == asked
    else:
        with pytest.raises(RangeNotSatisfiable) as caught:
            wanted_range(header, None, TAG, size)
        assert caught.value.size == size


@given(size=sizes, suffix=positions)
@example(size=10, suffix=0)
@example(size=0, suffix=5)
def test_a_suffix_is_the_last_positions(size: int, suffix: int) -> None:
    asked = {place for place in range(size) if place >= size - suffix}
    if asked:
        assert chosen(f"bytes=-{suffix}", size) == asked
    else:
        with pytest.raises(RangeNotSatisfiable):
            wanted_range(f"bytes=-{suffix}", None, TAG, size)


@given(st.text(st.sampled_from("bytes=-,0123456789 \t+eE٣"), max_size=24) | st.text(max_size=24), sizes)
def test_any_text_is_one_range_inside_the_file_or_the_whole_file_or_416(header: str, size: int) -> None:
    try:
        wanted = wanted_range(header, None, TAG, size)
    except RangeNotSatisfiable:
        return
    if wanted is not None:
        start, length = wanted
        assert 0 <= start < start + length <= size


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=5-2",
        "bytes=0-0,1-1,2-2",
        "bytes=0-1," * 5000,
        "bytes=--5",
        "bytes=1e3-",
        "bytes=+1-2",
        "bytes=0x1-2",
        "bytes=1 - 2",
        "bytes=٣-٤",
        "bytes=99999999999999999999-",
        "bytes=0-99999999999999999999",
        "bytes=-99999999999999999999",
        "lines=0-1",
        "bytes:0-1",
        "0-1",
        "\xa0bytes=0-1",
        "bytes=0-1\x85",
        "bytes=0-1\n",
    ],
)
def test_more_than_one_range_and_nonsense_ask_for_the_whole_file(header: str | None) -> None:
    assert wanted_range(header, None, TAG, 10) is None


@pytest.mark.parametrize("header", ["bytes=-0", "bytes=9999-", "bytes=10-10", "bytes=9999999999999999999-"])
def test_a_range_behind_the_end_is_refused_with_the_size(header: str) -> None:
    with pytest.raises(RangeNotSatisfiable) as caught:
        wanted_range(header, None, TAG, 10)
    assert caught.value.size == 10


@pytest.mark.parametrize("header", ["bytes=1-2", "Bytes=1-2", "BYTES=1-2", " bytes=1-2\t"])
def test_the_unit_is_known_in_any_case(header: str) -> None:
    assert wanted_range(header, None, TAG, 10) == (1, 2)


def test_a_range_may_reach_far_beyond_the_end() -> None:
    assert wanted_range("bytes=4-9999999999999999999", None, TAG, 10) == (4, 6)
    assert wanted_range("bytes=-9999999999999999999", None, TAG, 10) == (0, 10)


def test_if_range_with_these_bytes_tag_keeps_the_range() -> None:
    assert wanted_range("bytes=1-2", TAG, TAG, 10) == (1, 2)
    assert wanted_range("bytes=1-2", f" {TAG} ", TAG, 10) == (1, 2)


@pytest.mark.parametrize(
    "if_range",
    [
        "",
        f"W/{TAG}",
        TAG.strip('"'),
        f'"{"cd" * 32}"',
        "*",
        "Sat, 21 Nov 2026 12:00:00 GMT",
        f"{TAG},",
        f"\xa0{TAG}",
    ],
)
def test_any_other_if_range_asks_for_the_whole_file(if_range: str) -> None:
    assert wanted_range("bytes=1-2", if_range, TAG, 10) is None
    assert wanted_range("bytes=99-", if_range, TAG, 10) is None


def test_if_range_alone_asks_for_the_whole_file() -> None:
    assert wanted_range(None, TAG, TAG, 10) is None


@given(st.integers(0, 10**9 - 1))
def test_a_version_tag_names_its_version(version: int) -> None:
    assert expected_version(version_tag(version)) == version
    assert expected_version(f"\t{version_tag(version)} ") == version


def test_a_star_expects_any_version() -> None:
    assert expected_version("*") is None
    assert expected_version(" * ") is None


def test_a_change_without_if_match_is_asked_for_one() -> None:
    with pytest.raises(PreconditionRequired):
        expected_version(None)


@pytest.mark.parametrize(
    "tag",
    ['W/"1"', '"1", "2"', '"1",W/"2"', '"-1"', '"+1"', '"1_0"', '"\xe9"', '"' + "9" * 10 + '"', '"01"', '"00"', '""'],
)
def test_a_tag_that_is_no_version_matches_none(tag: str) -> None:
    with pytest.raises(PreconditionFailed):
        expected_version(tag)


@pytest.mark.parametrize(
    "text", ["", "1", '"1",*', "**", '"1', '1"', '" 1"', '"٣"', '\xa0"1"', "*\n", 'w/"1"', '"1" "2"']
)
def test_what_is_no_tag_at_all_is_told_how_to_write_one(text: str) -> None:
    with pytest.raises(InvalidInput, match="in quotes"):
        expected_version(text)


@given(st.text(max_size=12))
def test_any_if_match_is_a_version_or_refused(tag: str) -> None:
    try:
        version = expected_version(tag)
    except (PreconditionFailed, InvalidInput):
        return
    assert version is None or version >= 0
