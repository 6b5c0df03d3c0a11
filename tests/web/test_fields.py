"""Field types: times as RFC 3339 writes them and in no other way, text as the documents describe it."""

import re
from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from portal.core.clock import rfc3339
from portal.web.fields import GivenMoment, Moment, Readable, Text

BLANK = {chr(code) for code in (0xAD, *range(0x2000, 0x2010), *range(0x2028, 0x2030), *range(0x205F, 0x2070))}
BLANK |= {"\u2800", "\u3164", "\ufeff", "\u1680", "\u3000"}


class Note(BaseModel):
    text: Text = ""
    given: GivenMoment | None = None


class Told(BaseModel):
    at: Moment


PATTERN = re.compile(Note.model_json_schema()["properties"]["text"]["pattern"])


@given(st.text(st.characters(max_codepoint=300)))
@example("line\n\ttext")
@example("carriage\rreturn")
@example("\x7f")
@example("ends in a line break\n")
def test_the_documented_pattern_is_what_is_taken(text: str) -> None:
    try:
        taken = Note(text=text).text == text
    except ValidationError:
        taken = False
    assert taken is (PATTERN.search(text) is not None)


@pytest.mark.parametrize("rule", [Readable(), Readable(3), Readable(lines=True), Readable(10, lines=True)])
@given(text=st.text(st.characters(max_codepoint=0x3200) | st.sampled_from(" \n\u00a0\u200b\u2800\u3164\ufeffabc")))
def test_a_readable_text_shows_so_many_characters(rule: Readable, text: str) -> None:
    shown = [letter for letter in text if not (letter.isspace() or letter in BLANK or ord(letter) in range(0x7F, 0xA0))]
    control = any((letter < " " and letter not in "\n\t" * rule.lines) or letter == "\x7f" for letter in text)
    try:
        taken = rule.check(text) == text
    except ValueError:
        taken = False
    assert taken is (len([letter for letter in shown if letter > " "]) >= rule.count and not control)


@given(st.datetimes(datetime(1970, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001  # the strategy adds the zone
def test_a_moment_as_the_wire_writes_it_is_taken(moment: datetime) -> None:
    assert Note.model_validate({"given": rfc3339(moment)}).given == moment


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-21T12:00:00Z",
        "2026-11-21t12:00:00z",
        "2026-11-21 12:00:00Z",
        "2026-11-21T14:00:00+02:00",
        "2026-11-21T12:00:00.000Z",
    ],
)
def test_other_spellings_of_rfc_3339_name_the_same_moment(text: str) -> None:
    assert Note.model_validate({"given": text}).given == datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "value",
    [
        "0.5",
        "7",
        "-1",
        "1e3",
        "1795262400",
        7,
        0.5,
        True,
        "2026-11-21",
        "2026-11-21T12:00:00",
        "2026-11-21T12Z",
        "٢",
        "",
    ],
    ids=ascii,
)
def test_what_is_not_rfc_3339_is_not_taken_for_a_moment(value: object) -> None:
    with pytest.raises(ValidationError):
        Note.model_validate({"given": value})


def test_a_moment_that_is_told_is_documented_as_one() -> None:
    schema = Told.model_json_schema(mode="serialization")["properties"]["at"]
    assert (schema["type"], schema["format"]) == ("string", "date-time")
