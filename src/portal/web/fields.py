"""Field types that the features' schemas share: times as the wire writes them, text without control characters."""

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, PlainSerializer

from portal.core.clock import rfc3339


def printable(text: str) -> str:
    """The text itself. Raises ValueError for control characters other than line breaks and tabs."""
    if any((character < " " and character not in "\n\t") or character == "\x7f" for character in text):
        raise ValueError("control characters are not allowed")
    return text


def _in_calendar(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("the moment lies outside of the calendar") from None


def _digits(value: Any) -> Any:
    if isinstance(value, str) and not (value.isascii() and value.isdigit()):
        raise ValueError("write the number in digits")
    return value


Text = Annotated[str, AfterValidator(printable)]
Number = Annotated[int, BeforeValidator(_digits)]
GivenMoment = Annotated[AwareDatetime, AfterValidator(_in_calendar)]
Moment = Annotated[datetime, PlainSerializer(rfc3339, return_type=str)]
