"""What Schemathesis leaves out: requests that are wrong in its own process alone, or everywhere alike, and the second
way to sign in.

Comes in: the document, or what it made of a request. Leaves: the document it reads, or whether to send that. Loaded
by the `schemathesis` program, not by pytest.
"""

from typing import Any
from urllib.parse import urlencode

import schemathesis

_LONGEST_QUERY = 7 << 10  # what `portal.web.middleware` allows, less a path


@schemathesis.hook.apply_to(method="POST")  # type: ignore[attr-defined, untyped-decorator]  # typed as less than it is
def filter_body(context: schemathesis.HookContext, body: Any) -> bool:
    """Forms have no types: `true` for a text is sent as "true", `[]` is not sent at all."""
    said = context.operation.definition.raw["requestBody"] if context.operation else {"content": {}}
    if "application/json" in said["content"] or not isinstance(body, dict):
        return True
    return not any(map(_is_lost_in_a_form, body.values()))


@schemathesis.hook
def filter_query(_: schemathesis.HookContext, query: Any) -> bool:
    """A target that is too long is refused everywhere: the document says that once, not with each operation."""
    return not isinstance(query, dict) or len(urlencode(query, doseq=True)) < _LONGEST_QUERY


@schemathesis.hook
def before_load_schema(_: schemathesis.HookContext, document: dict[str, Any]) -> None:
    """Of two ways to prove who one is it takes one away, and wonders that the other will do."""
    for operations in document["paths"].values():
        for operation in operations.values():
            security = operation.get("security", [])
            operation["security"] = [way for way in security if len(security) < 2 or "password" in way]


def _is_lost_in_a_form(value: Any) -> bool:
    if isinstance(value, list):
        return len(value) < 2  # two are one field twice
    return value is None or isinstance(value, bool | int | float | dict)
