"""What a listing shows: whose files, and the cases of whom.

Comes in: a principal. Leaves: a `Visibility`, which the statement behind a listing turns into conditions. Next:
`policy` has the tables, and judges what is asked of one object.
"""

from dataclasses import dataclass
from uuid import UUID

from portal.core.principal import Principal, Role
from portal.features.authz.policy import MEMBERSHIPS, may_be_granted
from portal.features.authz.relation import CaseRole, RelationKind


@dataclass(frozen=True, slots=True)
class Visibility:
    """Whose files a listing shows: the user's own, and all of the cases in which they are one of `roles`.

    No user: everybody's. Of one case alone, where `case_id` says so. `granted`: single files too that they may read.
    """

    user_id: UUID | None
    roles: frozenset[CaseRole]
    case_id: UUID | None = None
    granted: bool = False


UNRESTRICTED = Visibility(None, frozenset())
"""What there is, whoever asks."""


def visible_to(principal: Principal) -> Visibility:
    """What a listing of files shows."""
    worth = MEMBERSHIPS[principal.role]
    whole = frozenset(role for role, stand in worth.items() if stand is not RelationKind.UPLOADER)
    user_id = None if principal.role in {Role.ADMIN, Role.AUDITOR} else principal.user_id
    return Visibility(user_id, whole, principal.case_id, may_be_granted(principal.role))


def sees_every_case(principal: Principal) -> bool:
    """Whether a listing shows the cases of others, too; and their links."""
    return principal.role in {Role.ADMIN, Role.AUDITOR}
