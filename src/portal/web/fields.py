"""Field types that the features' schemas share: times as the wire writes them, text without control characters."""

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, PlainSerializer

from portal.core.clock import rfc3339


def printable(text: str) -> str:
    """The text itself. Raises ValueError for control characters other than line breaks and tabs."""
    if any((character < " " and character not in "\n\t") or character == "\x7f" for character in text):
        raise ValueError("control characters are not allowed")
    return text


Text = Annotated[str, AfterValidator(printable)]
Moment = Annotated[datetime, PlainSerializer(rfc3339, return_type=str)]
