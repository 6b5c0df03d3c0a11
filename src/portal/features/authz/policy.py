"""The policy, as data: which roles may do what to their own files and to others' (`docs/access.md`).

Comes in: a principal, an action, and for an object its owner. Leaves: nothing, or the error the caller may see. What a
caller may not know of is NotFound, never Forbidden.
"""

from collections.abc import Iterable
from uuid import UUID

from portal.core.errors import Forbidden, InsufficientScope, NotFound
from portal.core.principal import Action, Permission, Principal, Role

_EVERYONE = frozenset(Role)
_NOBODY: frozenset[Role] = frozenset()
_HANDS_IN = frozenset({Role.ADMIN, Role.ANALYST, Role.UPLOADER})

OWN: dict[Action, frozenset[Role]] = {
    Action.FILE_CREATE: _HANDS_IN,
    Action.FILE_LIST: _EVERYONE,
    Action.FILE_READ: _EVERYONE,
    Action.FILE_DOWNLOAD: _HANDS_IN,
    Action.FILE_UPDATE: _HANDS_IN,
    Action.FILE_DELETE: _HANDS_IN,
    Action.TOKEN_LIST: _EVERYONE,
    Action.TOKEN_REVOKE: _EVERYONE,
}
"""What each role may do to files and tokens it owns."""

OTHERS: dict[Action, frozenset[Role]] = {
    Action.FILE_CREATE: _NOBODY,
    Action.FILE_LIST: frozenset({Role.ADMIN, Role.AUDITOR}),
    Action.FILE_READ: frozenset({Role.ADMIN, Role.AUDITOR}),
    Action.FILE_DOWNLOAD: _NOBODY,  # an administrator manages without reading
    Action.FILE_UPDATE: frozenset({Role.ADMIN}),
    Action.FILE_DELETE: frozenset({Role.ADMIN}),
    Action.TOKEN_LIST: frozenset({Role.ADMIN, Role.AUDITOR}),
    Action.TOKEN_REVOKE: frozenset({Role.ADMIN}),
}
"""What each role may do to those of others."""


GRANTABLE: frozenset[Permission] = frozenset(Permission) - {Permission.ACCOUNT}
"""What an API token may be made for: accounts and credentials are a person's to change, signed in."""


def require_permissions(principal: Principal, permissions: Iterable[Permission]) -> None:
    """What a route asks of the credential, before it asks anything of its owner. Raises InsufficientScope."""
    if not principal.permissions.issuperset(permissions):
        raise InsufficientScope


def require(principal: Principal, action: Action) -> None:
    """For actions without an object yet. Raises Forbidden."""
    if principal.role not in OWN[action]:
        raise Forbidden


def require_on(principal: Principal, action: Action, *, owner_id: UUID) -> None:
    """For an object of `owner_id`. Raises Forbidden where the caller may know of it, else NotFound."""
    table = OWN if owner_id == principal.user_id else OTHERS
    if principal.role in table[action]:
        return
    raise Forbidden if principal.role in table[Action.FILE_READ] else NotFound


def visible_owner(principal: Principal) -> UUID | None:
    """Whose files a listing shows: None for everybody's."""
    return None if principal.role in OTHERS[Action.FILE_LIST] else principal.user_id
