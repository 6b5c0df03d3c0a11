"""Cursors: opaque, ours alone, good for the listing they were given for."""

import base64
import json
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.core.cursors import Cursors
from portal.core.errors import InvalidInput
from portal.core.secrets import Secret

OLD, NEW = Secret(bytes(range(32))), Secret(bytes(range(32, 64)))
CURSORS = Cursors([NEW])
MOMENT, FILE = datetime(2026, 11, 21, 12, 0, 0, 1, UTC), UUID(int=7)
FILTERS = '{"name":"x"}user'
GIVEN = CURSORS.write((MOMENT, FILE), FILTERS)


def bits(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_")


def spelled(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


moments = st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  # Hypothesis adds it


@given(moments, st.uuids(), st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_a_cursor_leads_back_to_its_place(moment: datetime, file_id: UUID, filters: str) -> None:
    assert CURSORS.read(CURSORS.write((moment, file_id), filters), filters) == (moment, file_id)


def test_a_cursor_fits_into_a_query() -> None:
    assert len(GIVEN) <= 512
    assert set(GIVEN) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


@pytest.mark.parametrize("filters", ["", '{"name":"y"}user', '{"name":"x"}other', FILTERS + " ", FILTERS[:-1]])
def test_a_cursor_is_good_for_its_own_listing_alone(filters: str) -> None:
    assert CURSORS.read(GIVEN, FILTERS) == (MOMENT, FILE)
    with pytest.raises(InvalidInput):
        CURSORS.read(GIVEN, filters)


def test_a_cursor_with_any_bit_changed_is_refused() -> None:
    raw = bits(GIVEN)
    for place in range(len(raw) * 8):
        changed = bytearray(raw)
        changed[place // 8] ^= 1 << place % 8
        with pytest.raises(InvalidInput):
            CURSORS.read(spelled(bytes(changed)), FILTERS)


def test_a_cursor_cut_or_lengthened_is_refused() -> None:
    for cursor in [*(GIVEN[:length] for length in range(len(GIVEN))), GIVEN + "A", GIVEN + GIVEN, "=" + GIVEN]:
        with pytest.raises(InvalidInput):
            CURSORS.read(cursor, FILTERS)


def test_a_cursor_made_up_without_the_key_is_refused() -> None:
    body = json.dumps(["2026-11-21T12:00:00.000001Z", FILE.hex]).encode()
    for forged in (bytes(16) + body, body, bytes(16), b""):
        with pytest.raises(InvalidInput):
            CURSORS.read(spelled(forged), FILTERS)


@given(st.text(max_size=60) | st.binary(max_size=90).map(spelled))
def test_any_text_is_refused_and_never_a_bug(cursor: str) -> None:
    with pytest.raises(InvalidInput):
        CURSORS.read(cursor, FILTERS)


def test_an_older_key_still_reads_and_the_newest_writes() -> None:
    both = Cursors([NEW, OLD])
    before = Cursors([OLD]).write((MOMENT, FILE), FILTERS)
    assert both.read(before, FILTERS) == (MOMENT, FILE)
    assert both.write((MOMENT, FILE), FILTERS) == GIVEN
    with pytest.raises(InvalidInput):
        CURSORS.read(before, FILTERS)


def test_a_refusal_does_not_repeat_the_cursor() -> None:
    with pytest.raises(InvalidInput) as caught:
        CURSORS.read("c4n4ry", FILTERS)
    assert "c4n4ry" not in str(caught.value)
