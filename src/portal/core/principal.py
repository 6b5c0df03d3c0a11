"""Who is asking, what they want, and where: the three words every decision is made of.

Comes in: a resolver's findings (a signed-in session, the command line). Leaves: a `Principal` that services are
handed. Next: `features/authz` judges it, `features/audit` writes it down.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from uuid import UUID


class Role(StrEnum):
    """What an account is for. `docs/access.md` has the table of what each may do."""

    ADMIN = "admin"
    ANALYST = "analyst"
    UPLOADER = "uploader"
    AUDITOR = "auditor"


class Action(StrEnum):
    """What can be asked of the portal; `features/authz` has a row for each."""

    FILE_CREATE = "files.create"
    FILE_LIST = "files.list"
    FILE_READ = "files.read"
    FILE_DOWNLOAD = "files.download"
    FILE_UPDATE = "files.update"
    FILE_DELETE = "files.delete"
    USER_MANAGE = "users.manage"


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller whose identity has been proven. `actor` is what the audit record says."""

    actor: str
    role: Role
    user_id: UUID
    session_id: UUID


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request came from: for the record, and for slowing down who fails to sign in. It allows nothing."""

    request_id: str | None = None
    address: str | None = None


NOWHERE: Final = Origin()
"""For what no request asked for: the command line, the sweeper."""


Scope = str
"""A key scope as FORMAT 1 writes it: `none`, or `case:` and 32 lowercase hex digits."""

NO_CASE: Final[Scope] = "none"
_SCOPE: Final = re.compile(r"none|case:[0-9a-f]{32}", re.ASCII)


def is_scope(text: str) -> bool:
    """Whether `text` has the form of a key scope."""
    return _SCOPE.fullmatch(text) is not None
