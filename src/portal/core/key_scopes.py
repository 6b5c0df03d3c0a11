"""Key scopes: which files share data keys. Each case is a scope of its own, all inboxes together are another."""

import re
from typing import Final
from uuid import UUID

Scope = str
"""A key scope as FORMAT 1 writes it: `none`, or `case:` and 32 lowercase hex digits."""

NO_CASE: Final[Scope] = "none"
_SCOPE: Final = re.compile(r"none|case:[0-9a-f]{32}", re.ASCII)


def scope_of(case_id: UUID | None) -> Scope:
    """The key scope of what lies in a case; None for an inbox."""
    return NO_CASE if case_id is None else f"case:{case_id.hex}"


def is_scope(text: str) -> bool:
    """Whether `text` has the form of a key scope."""
    return _SCOPE.fullmatch(text) is not None
