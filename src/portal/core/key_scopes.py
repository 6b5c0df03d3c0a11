"""Key scopes: the groups of files that share data keys. Each case is one scope; all inboxes together are another. The
keys of backups have a scope of their own, in which no file is.
"""

import re
from typing import Final
from uuid import UUID

Scope = str
"""A key scope in the spelling of format version 1: `none`, `backup`, or `case:` and 32 lower-case hex digits."""

NO_CASE: Final[Scope] = "none"
BACKUP: Final[Scope] = "backup"
_SCOPE: Final = re.compile(r"none|backup|case:[0-9a-f]{32}", re.ASCII)


def scope_of(case_id: UUID | None) -> Scope:
    """The key scope of the files in a case; `case_id` is None for files in an inbox."""
    return NO_CASE if case_id is None else f"case:{case_id.hex}"


def is_scope(text: str) -> bool:
    """Whether `text` has the form of a key scope."""
    return _SCOPE.fullmatch(text) is not None
