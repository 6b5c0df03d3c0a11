"""The visibility of files and cases in listings.

Comes in: a principal. Leaves: a `Visibility`, which the statement of a listing turns into conditions. Actions on a
single object are decided by `policy`, whose tables are used here too.
"""

from dataclasses import dataclass
from uuid import UUID

from portal.core.principal import Principal, Role
from portal.features.authz.policy import MEMBERSHIPS, may_be_granted
from portal.features.authz.relation import CaseRole, RelationKind


@dataclass(frozen=True, slots=True)
class Visibility:
    """The files that a listing shows: the user's own, and all files of cases in which the user has one of `roles`.

    `user_id` None: the files of all users. `case_id`: only files of this case. `granted`: also files on which the user
    has a grant.
    """

    user_id: UUID | None
    roles: frozenset[CaseRole]
    case_id: UUID | None = None
    granted: bool = False


UNRESTRICTED = Visibility(None, frozenset())
"""All files, for every caller."""


def visible_to(principal: Principal) -> Visibility:
    """The files that a listing shows to the principal."""
    worth = MEMBERSHIPS[principal.role]
    whole = frozenset(role for role, stand in worth.items() if stand is not RelationKind.UPLOADER)
    user_id = None if principal.role in {Role.ADMIN, Role.AUDITOR} else principal.user_id
    return Visibility(user_id, whole, principal.case_id, may_be_granted(principal.role))


def sees_every_case(principal: Principal) -> bool:
    """Whether a listing shows all cases and all links to the principal, not only its own."""
    return principal.role in {Role.ADMIN, Role.AUDITOR}
