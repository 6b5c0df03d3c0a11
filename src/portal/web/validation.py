"""Validation errors of request fields, for people and for forms: the location, the field, and what to send instead.

Comes in: pydantic's errors. Leaves: faults without pydantic's internals and without content of the request. One
exception: the name of an unknown field is shown if it looks like a field name, because it is usually a typing error.
Next: `errors` puts them into the problem document.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

_MAX_TOLD = 10  # faults in one response
_OURS = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}", re.ASCII)  # a field, a header or an index; no validator's name
_UNKNOWN = re.compile(r"[a-z_]{1,32}", re.ASCII)  # the form in which an unknown name may be shown
_PREFIX = "Value error, "
_MESSAGES = {  # messages for pydantic's own error types
    "missing": "is missing: send it",
    "extra_forbidden": "is not known here: check its name, or leave it out",
    "uuid_parsing": "is not an id: write a UUID, as answers have it",
    "uuid_type": "is not an id: write a UUID, as answers have it",
    "bool_parsing": "write true or false",
    "bool_type": "write true or false",
    "int_parsing": "write a whole number",
    "int_type": "write a whole number",
    "string_type": "write text",
    "list_type": "write a list",
    "model_type": "write a JSON object",
    "model_attributes_type": "write a JSON object",
    "dict_type": "write a JSON object",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One invalid field. `where` is body, form, query, path or header; `name` is empty for the body as a whole."""

    where: str
    name: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}.{self.name}: {self.message}" if self.name else f"{self.where}: {self.message}"

    def as_json(self) -> dict[str, str]:
        return {"in": self.where, "name": self.name, "message": self.message}


def faults(found: Iterable[Mapping[str, Any]]) -> tuple[Fault, ...]:
    """The first ten of pydantic's errors, without duplicates."""
    told = dict.fromkeys(_fault(item) for item in found)
    return tuple(told)[:_MAX_TOLD]


def told_name(text: str) -> str:
    """The name of an unknown field if it may be shown; otherwise an empty text."""
    return text if _UNKNOWN.fullmatch(text) else ""


def _fault(item: Mapping[str, Any]) -> Fault:
    where, *path = item["loc"]
    unknown = item["type"] == "extra_forbidden"
    if unknown and not told_name(str(path[-1])):
        path = path[:-1]
    parts = [str(part) for part in path if isinstance(part, int) or _OURS.fullmatch(part)]
    message = _MESSAGES.get(item["type"], str(item["msg"]).removeprefix(_PREFIX))
    if unknown and len(parts) < len(item["loc"]) - 1:
        message = f"a name {message}"
    return Fault(str(where), ".".join(parts), _printable(message))


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)[:200]
