"""Ids and times: both sort as text, both are exact."""

import time
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.core import clock
from portal.core.clock import rfc3339
from portal.core.ids import new_id

moments = st.datetimes(min_value=datetime(1000, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  # Hypothesis adds the zone
offsets = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


def test_ids_are_uuids_of_version_7() -> None:
    made = new_id()
    assert made.version == 7
    assert made.variant == "specified in RFC 4122"


def test_ids_made_one_after_another_sort_so_in_every_notation() -> None:
    made = [new_id() for _ in range(2_000)]
    assert len(set(made)) == 2_000
    assert made == sorted(made)
    assert [one.hex for one in made] == sorted(one.hex for one in made)
    assert [one.bytes for one in made] == sorted(one.bytes for one in made)


def test_an_id_begins_with_its_millisecond_of_birth() -> None:
    before = time.time_ns() // 1_000_000
    born = new_id().int >> 80
    assert before <= born <= time.time_ns() // 1_000_000


def test_now_is_aware_and_utc() -> None:
    assert clock.now().utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "2026-01-02T03:04:05.000000Z"),
        (datetime(2026, 1, 2, 3, 4, 5, 60, tzinfo=UTC), "2026-01-02T03:04:05.000060Z"),
        (datetime(2026, 1, 1, 1, 0, tzinfo=timezone(timedelta(hours=2))), "2025-12-31T23:00:00.000000Z"),
        (datetime(999, 1, 2, 3, 4, 5, tzinfo=UTC), "0999-01-02T03:04:05.000000Z"),
    ],
)
def test_a_time_on_the_wire(moment: datetime, text: str) -> None:
    assert rfc3339(moment) == text


@given(moments)
def test_a_time_on_the_wire_is_27_characters_and_comes_back_exactly(moment: datetime) -> None:
    text = rfc3339(moment)
    assert len(text) == 27
    assert text.endswith("Z")
    assert datetime.fromisoformat(text) == moment


@given(moments, moments)
def test_the_order_of_texts_is_the_order_of_times(one: datetime, two: datetime) -> None:
    assert (rfc3339(one) < rfc3339(two)) == (one < two)


@given(moments.filter(lambda moment: 1_900 < moment.year < 9_000), offsets)
def test_a_moment_has_one_text_whatever_zone_it_was_told_in(moment: datetime, zone: timezone) -> None:
    assert rfc3339(moment.astimezone(zone)) == rfc3339(moment)
