"""The caller of a request: the principal, its credential, and the origin of the request. Every decision uses these.

Comes in: the result of authentication (a session, an API token, a link, the command line). Leaves: a `Principal`, which
every service method takes. Next: `features/authz` decides by it, `features/audit` writes it to the audit log.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from portal.core.networks import network_of


class Role(StrEnum):
    """The role of an account. The table in `docs/access.md` lists the actions that each role allows."""

    ADMIN = "admin"
    ANALYST = "analyst"
    UPLOADER = "uploader"
    AUDITOR = "auditor"


class Permission(StrEnum):
    """A permission of a credential: an OAuth2 scope of the API. It restricts the owner's role, and never extends it.

    Only links have the last two; no account and no API token has them.
    """

    FILES_READ = "files:read"
    FILES_UPLOAD = "files:upload"
    FILES_CHANGE = "files:manage"
    DOWNLOAD_RAW = "files:download"
    DOWNLOAD_WRAPPED = "files:download_wrapped"  # as a protected archive; not implemented yet
    CASES_READ = "cases:read"
    CASES_CHANGE = "cases:manage"
    ACCOUNT = "account"
    ADMINISTER = "admin"
    LINK_DOWNLOAD = "shared:download"
    LINK_UPLOAD = "shared:upload"


OF_LINKS: Final = frozenset({Permission.LINK_DOWNLOAD, Permission.LINK_UPLOAD})
EVERY_PERMISSION: Final = frozenset(Permission) - OF_LINKS


class CredentialKind(StrEnum):
    """The kind of credential that authenticated the caller."""

    SESSION = "session"
    TOKEN = "token"  # noqa: S105  # a word, no secret
    LINK = "link"


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller: an account with a credential, or the anonymous user of a link.

    `actor` is the caller's name in the audit log: `user:<id>`, `user:<id>/token:<id>` or `link:<id>`. `role` and
    `user_id` are those of the account. `credential_id` is the id of the session, API token or link; `kind` says which
    of the three.

    `permissions` and `case_id` restrict the credential. `case_id` is the only case in which it is valid; None means
    that it is valid everywhere. `proved_at` is the time of the last password check in a session, and None for other
    credentials; two principals that differ only in it are equal.

    The user of a link has no account. `role` and `user_id` are then those of the account that created the link, and
    `actor` names the link.
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
    """The origin of a request, for the audit log and for the throttle of failed sign-ins. It never grants access.

    `agent` is the client's User-Agent, which only the list of sessions shows.
    """

    request_id: str | None = None
    address: str | None = None
    agent: str | None = None

    @property
    def network(self) -> str:
        """The key to count a client by: its IPv4 address, or its IPv6 /64 network; empty if the address is unknown."""
        return "" if self.address is None else network_of(self.address)


NOWHERE: Final = Origin()
"""The origin of work without a request: the command line, the sweeper."""
