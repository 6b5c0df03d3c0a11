"""Which requests Schemathesis leaves out: the ones that are wrong in its own process alone.

Comes in: a body it made. Leaves: whether to send it. Loaded by the `schemathesis` program, not by pytest.
"""

from typing import Any

import schemathesis


@schemathesis.hook.apply_to(method="POST")  # type: ignore[attr-defined, untyped-decorator]  # typed as less than it is
def filter_body(context: schemathesis.HookContext, body: Any) -> bool:
    """Forms have no types: `true` for a text is sent as "true", `[]` is not sent at all."""
    said = context.operation.definition.raw["requestBody"] if context.operation else {"content": {}}
    if "application/json" in said["content"] or not isinstance(body, dict):
        return True
    return not any(map(_is_lost_in_a_form, body.values()))


def _is_lost_in_a_form(value: Any) -> bool:
    if isinstance(value, list):
        return len(value) < 2  # two are one field twice
    return value is None or isinstance(value, bool | int | float | dict)
