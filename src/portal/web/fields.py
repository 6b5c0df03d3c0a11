"""Field types for the schemas of all features: RFC 3339 times, numbers in digits, text without control characters."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema
from pydantic_core.core_schema import no_info_after_validator_function

from portal.core.clock import rfc3339

_GAPS = r" \x80-\xa0\xad\u1680\u2000-\u200f\u2028-\u202f\u205f-\u206f\u2800\u3000\u3164\ufeff"  # blank characters
_SEEN = rf"[^\x00-\x20\x7f{_GAPS[1:]}]"
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[ +-]\d\d:\d\d)", re.ASCII)


def printable(text: str) -> str:
    """The text itself. Raises ValueError if it has control characters other than line feed and tab."""
    if any((character < " " and character not in "\n\t") or character == "\x7f" for character in text):
        raise ValueError("control characters are not allowed")
    return text


@dataclass(frozen=True, slots=True)
class Readable:
    """A constraint on a text: at least `count` visible characters, and a single line unless `lines` is true.

    pydantic checks it, and the OpenAPI schema has it as `pattern`.
    """

    count: int = 1
    lines: bool = False

    @property
    def pattern(self) -> str:
        gaps, rest = (r"\t\n", r"\x00-\x08\x0b-\x1f\x7f") if self.lines else ("", r"\x00-\x1f\x7f")
        return f"^(?:[{gaps}{_GAPS}]*{_SEEN}){{{self.count}}}[^{rest}]*$"

    def check(self, text: str) -> str:
        """The text itself. Raises ValueError."""
        if re.fullmatch(self.pattern, text) is None:
            raise ValueError(f"write {self.count} or more characters that show{'' if self.lines else ', in one line'}")
        return text

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(schema) | {"minLength": self.count, "pattern": self.pattern}


def _written_out(value: Any) -> Any:
    if not (isinstance(value, str) and _RFC3339.fullmatch(value)):  # pydantic would read "7" as 7 seconds after 1970
        raise ValueError("write the moment as RFC 3339 does, with a zone")
    # A plus sign that a client did not escape in a query arrives as a blank; before a zone it can only be that.
    return f"{value[:-6]}+{value[-5:]}" if value[-6] == " " else value


def _in_calendar(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("the moment lies outside of the calendar") from None


def _digits(value: Any) -> Any:
    if isinstance(value, str) and not (value.isascii() and value.isdigit()):
        raise ValueError("write the number in digits")
    return value


Text = Annotated[str, AfterValidator(printable), Field(json_schema_extra={"pattern": r"^[^\x00-\x08\x0b-\x1f\x7f]*$"})]
Version = Annotated[int, Field(description='Counts the changes: version 3 is `If-Match: "3"`, with the quotes.')]
Number = Annotated[int, BeforeValidator(_digits)]
GivenMoment = Annotated[AwareDatetime, BeforeValidator(_written_out), AfterValidator(_in_calendar)]
Moment = Annotated[
    datetime,
    PlainSerializer(rfc3339, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}, mode="serialization"),
]
