"""Who is asking, by what credential, and where: what every decision is made of.

Comes in: a resolver's findings (a signed-in session, the command line). Leaves: a `Principal` that services are
handed. Next: `features/authz` judges it, `features/audit` writes it down.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from portal.core.networks import network_of


class Role(StrEnum):
    """What an account is for. `docs/access.md` has the table of what each may do."""

    ADMIN = "admin"
    ANALYST = "analyst"
    UPLOADER = "uploader"
    AUDITOR = "auditor"


class Permission(StrEnum):
    """What a credential may be used for: the OAuth2 scopes of the API. Its owner's role has the last word.

    The last two are links' alone: nobody who has an account has them.
    """

    FILES_READ = "files:read"
    FILES_UPLOAD = "files:upload"
    FILES_CHANGE = "files:manage"
    DOWNLOAD_RAW = "files:download"
    DOWNLOAD_WRAPPED = "files:download_wrapped"  # as a protected archive; nothing delivers one yet
    CASES_READ = "cases:read"
    CASES_CHANGE = "cases:manage"
    ACCOUNT = "account"
    ADMINISTER = "admin"
    LINK_DOWNLOAD = "shared:download"
    LINK_UPLOAD = "shared:upload"


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
        return "" if self.address is None else network_of(self.address)


NOWHERE: Final = Origin()
"""For what no request asked for: the command line, the sweeper."""
