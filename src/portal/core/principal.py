"""Who is asking, what they want, and where: the three words every decision is made of.

Comes in: a resolver's findings (a signed-in session, the command line). Leaves: a `Principal` that services are
handed. Next: `features/authz` judges it, `features/audit` writes it down.
"""

import re
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from ipaddress import IPv6Address, ip_address, ip_network
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
    FILE_MOVE = "files.move"
    FILE_BREAK_GLASS = "files.break_glass"
    GRANT_LIST = "files.grants.list"
    GRANT_SET = "files.grants.set"
    GRANTS_OF_ACCOUNT = "grants.list"
    GRANT_REVOKE = "files.grants.revoke"
    GRANT_DECLINE = "files.grants.decline"
    CASE_CREATE = "cases.create"
    CASE_LIST = "cases.list"
    CASE_READ = "cases.read"
    CASE_UPDATE = "cases.update"
    CASE_STATUS = "cases.status"
    CASE_DELETE = "cases.delete"
    MEMBER_LIST = "cases.members.list"
    MEMBER_SET = "cases.members.set"
    MEMBER_REMOVE = "cases.members.remove"
    MEMBER_LEAVE = "cases.members.leave"
    GLASS_LIST = "cases.break_glass.list"
    SESSION_LIST = "sessions.list"
    SESSION_END = "sessions.end"
    TOKEN_LIST = "tokens.list"  # noqa: S105  # a word, no secret
    TOKEN_REVOKE = "tokens.revoke"  # noqa: S105
    LINK_LIST = "links.list"
    LINK_REVOKE = "links.revoke"
    LINK_FILES = "links.give_files"
    LINK_CASE = "links.give_case"
    LINK_UPLOAD = "links.collect"
    CASE_LINK_LIST = "cases.links.list"
    CASE_LINK_REVOKE = "cases.links.revoke"


class Permission(StrEnum):
    """What a credential may be used for: the OAuth2 scopes of the API. Its owner's role has the last word.

    The last two are links' alone: nobody who has an account has them.
    """

    FILES_READ = "files:read"
    FILES_UPLOAD = "files:upload"
    FILES_CHANGE = "files:change"
    DOWNLOAD_RAW = "download:raw"
    DOWNLOAD_WRAPPED = "download:wrapped"  # as a protected archive; nothing delivers one yet
    CASES_READ = "cases:read"
    CASES_CHANGE = "cases:change"
    ACCOUNT = "account"
    ADMINISTER = "administer"
    LINK_DOWNLOAD = "link:download"
    LINK_UPLOAD = "link:upload"


OF_LINKS: Final = frozenset({Permission.LINK_DOWNLOAD, Permission.LINK_UPLOAD})
EVERY_PERMISSION: Final = frozenset(Permission) - OF_LINKS


class CredentialKind(StrEnum):
    """How a caller proved who they are."""

    SESSION = "session"
    TOKEN = "token"  # noqa: S105  # a word, no secret
    LINK = "link"


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller whose identity has been proven. `actor` is what the audit record says.

    `credential_id` is the session, token or link that it was proven with; `permissions` are what that may be used for,
    and `case_id` the only case, if there is one. Behind a link nobody is known: role and user are its maker's.
    `proved_at` is when the password was last typed in this session: None for what is no session.
    """

    actor: str
    role: Role
    user_id: UUID
    credential_id: UUID
    kind: CredentialKind = CredentialKind.SESSION
    permissions: frozenset[Permission] = EVERY_PERMISSION
    case_id: UUID | None = None
    proved_at: datetime | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request came from: for the record, and for slowing down who fails to sign in. It allows nothing.

    `agent` is what the client calls itself: shown in the list of sessions alone.
    """

    request_id: str | None = None
    address: str | None = None
    agent: str | None = None

    @property
    def network(self) -> str:
        """What somebody has as a rule, to count them by: one address of IPv4, a network of IPv6; "" if not known."""
        if self.address is None:
            return ""
        parsed = ip_address(self.address)
        return str(ip_network((parsed, 64), strict=False)) if isinstance(parsed, IPv6Address) else self.address


NOWHERE: Final = Origin()
"""For what no request asked for: the command line, the sweeper."""


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
