"""The policy, as data: which roles may do what to their own files, to others', to the portal (`docs/access.md`).

Comes in: a principal, an action, and for an object its owner. Leaves: nothing, or the error the caller may see. What a
caller may not know of is NotFound, never Forbidden.
"""

from uuid import UUID

from portal.core.errors import Forbidden, NotFound
from portal.core.principal import Action, Principal, Role

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
}
"""What each role may do to files it owns."""

OTHERS: dict[Action, frozenset[Role]] = {
    Action.FILE_CREATE: _NOBODY,
    Action.FILE_LIST: frozenset({Role.ADMIN, Role.AUDITOR}),
    Action.FILE_READ: frozenset({Role.ADMIN, Role.AUDITOR}),
    Action.FILE_DOWNLOAD: _NOBODY,  # an administrator manages without reading
    Action.FILE_UPDATE: frozenset({Role.ADMIN}),
    Action.FILE_DELETE: frozenset({Role.ADMIN}),
}
"""What each role may do to files of others."""

PORTAL: dict[Action, frozenset[Role]] = {Action.USER_MANAGE: frozenset({Role.ADMIN})}
"""What each role may do to the portal itself."""

_WITHOUT_OBJECT = OWN | PORTAL


def require(principal: Principal, action: Action) -> None:
    """For actions without an object yet. Raises Forbidden."""
    if principal.role not in _WITHOUT_OBJECT[action]:
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
