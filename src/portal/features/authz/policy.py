"""The access policy: decides if a principal may perform an action. Its table is in `actions` (and `docs/access.md`).

Comes in: a principal, an action, and for an object the caller's relation to it. Leaves: nothing, or the error that the
caller may see. An object whose existence the caller may not know is NotFound, never Forbidden.
"""

from collections.abc import Iterable
from uuid import UUID

from portal.core.errors import Conflict, Forbidden, InsufficientScope, NotFound, PortalError
from portal.core.principal import EVERY_PERMISSION, CredentialKind, Permission, Principal, Role
from portal.features.authz.actions import INVESTIGATORS, OVERSEERS, Action
from portal.features.authz.relation import INBOX, CaseRole, CaseStatus, Relation, RelationKind, Tlp


class CaseReadOnly(Conflict):
    code, title = "case_read_only", "The case is closed or archived; reopen it first."


class CaseShredded(CaseReadOnly):
    code, title = "case_shredded", "The case is shredded: its keys are destroyed, and nothing brings them back."


class TlpForbidsLinks(Conflict):
    code, title = "tlp_forbids_links", "The case's TLP colour lets nothing go to people without an account."


MEMBERSHIPS: dict[Role, dict[CaseRole, RelationKind]] = {
    Role.ADMIN: {role: RelationKind(role) for role in CaseRole},
    Role.ANALYST: {role: RelationKind(role) for role in CaseRole},
    Role.UPLOADER: dict.fromkeys(CaseRole, RelationKind.UPLOADER),
    Role.AUDITOR: dict.fromkeys(CaseRole, RelationKind.AUDITOR),
}
"""The relation that a membership gives to an account, by its role: a membership never exceeds the account's role.

For example, an uploader account that is a member as `lead` has the relation `UPLOADER`, not `LEAD`.
"""

GRANTEES: frozenset[Role] = INVESTIGATORS
"""The roles of accounts that may receive a grant on a single file. Accounts of other roles never read by a grant."""

STATUS_TRANSITIONS: dict[CaseStatus, frozenset[CaseStatus]] = {
    CaseStatus.OPEN: frozenset({CaseStatus.IN_PROGRESS, CaseStatus.ON_HOLD, CaseStatus.CLOSED}),
    CaseStatus.IN_PROGRESS: frozenset({CaseStatus.ON_HOLD, CaseStatus.CLOSED}),
    CaseStatus.ON_HOLD: frozenset({CaseStatus.IN_PROGRESS, CaseStatus.CLOSED}),
    CaseStatus.CLOSED: frozenset({CaseStatus.OPEN, CaseStatus.ARCHIVED}),
    CaseStatus.ARCHIVED: frozenset({CaseStatus.OPEN}),
    CaseStatus.SHREDDED: frozenset(),
}
"""The statuses to which a case may change from each status. A change back to `open` reopens it."""

SHAREABLE_TLP: frozenset[Tlp] = frozenset({Tlp.CLEAR, Tlp.GREEN, Tlp.AMBER})
"""The TLP colours of cases whose content may be shared by link with people without an account."""

GRANTABLE: frozenset[Permission] = EVERY_PERMISSION - {Permission.ACCOUNT, Permission.ADMINISTER}
"""The permissions that an API token may have. Accounts, credentials and administration need a session of a person."""


def require_permissions(principal: Principal, permissions: Iterable[Permission]) -> None:
    """Check the credential's permissions, before anything about its owner is checked. Raises InsufficientScope."""
    missing = sorted(set(permissions) - principal.permissions)
    if missing:
        raise InsufficientScope(f"The token lacks the permission {' and '.join(missing)}.")


def require_of(principal: Principal, action: Action, owner_id: UUID) -> None:
    """Check an action on an object that belongs to the account `owner_id`, such as a session or a token.

    Raises Forbidden if the caller may know of the object, else NotFound. Raises InsufficientScope if the caller's role
    allows the action, but the credential lacks the permission for it.
    """
    if owner_id == principal.user_id:
        return
    if principal.role in action.rule.on_others:
        require_permissions(principal, filter(None, [action.rule.permission_on_others]))
        return
    raise _refusal(Forbidden if principal.role in OVERSEERS else NotFound, action, owner_id)


def require(principal: Principal, action: Action) -> None:
    """Check an action that has no object yet, such as to create or to list. Raises Forbidden."""
    confined = action is Action.CASE_CREATE and principal.case_id is not None
    if principal.role not in action.rule.roles or confined:
        raise _refusal(Forbidden, action)


def require_on(principal: Principal, action: Action, standing: Relation) -> None:
    """Check an action on one object. `standing` is the caller's relation to it.

    Raises Forbidden if the caller may know of the object, else NotFound. Raises CaseReadOnly if the status of the case
    does not allow the action.
    """
    if not _reaches(principal, standing):
        raise _refusal(NotFound, action, standing.about)
    held = relations_of(principal, standing)
    if not held & action.rule.stands:
        known = held & action.rule.known_to
        raise _refusal(Forbidden if known else NotFound, action, standing.about)
    if standing.case is not None and standing.case.status not in action.rule.statuses:
        raise CaseShredded if standing.case.status is CaseStatus.SHREDDED else CaseReadOnly
    if standing.case is None and action is Action.FILE_BREAK_GLASS:
        raise Forbidden("Nobody but its owner reads an inbox: there is no lead to show it to.")


def require_links(principal: Principal, action: Action, standing: Relation) -> None:
    """Check that the case's TLP colour allows the link. A lead may create an upload link whatever the colour is.

    Raises TlpForbidsLinks.
    """
    if standing.case is None or links_allowed(standing.case.tlp):
        return
    if action is not Action.LINK_UPLOAD or RelationKind.LEAD not in relations_of(principal, standing):
        raise TlpForbidsLinks


def relations_of(principal: Principal, standing: Relation) -> frozenset[RelationKind]:
    """The caller's relations to an object: the columns of the policy table that apply to the caller."""
    by_role = {Role.ADMIN: RelationKind.ADMIN, Role.AUDITOR: RelationKind.AUDITOR}.get(
        principal.role, RelationKind.NOBODY
    )
    may_break = principal.role is Role.ADMIN and principal.kind is CredentialKind.SESSION  # a person gave the reason
    glass = RelationKind.BREAK_GLASS if standing.broke_glass and may_break else RelationKind.NOBODY
    return frozenset({by_role, glass, _grantee(principal, standing), _case_relation(principal.role, standing)})


def may_own(role: Role) -> bool:
    """Whether an account of `role` can access the files in its own inbox."""
    return _case_relation(role, INBOX) is RelationKind.OWNER


def may_be_granted(role: Role) -> bool:
    """Whether an account of `role` can receive a grant."""
    return role in GRANTEES


def may_know_name(principal: Principal, user_id: UUID) -> bool:
    """Whether the caller may see the account's name beside its id. Uploader accounts, which may belong to strangers,
    see only their own.
    """
    return principal.role is not Role.UPLOADER or principal.user_id == user_id


def may_be(role: Role, case_role: CaseRole) -> bool:
    """Whether an account of `role` can be a member as `case_role`: only if the membership gives that same relation."""
    return MEMBERSHIPS[role][case_role] == RelationKind(case_role)


def may_grant_own(role: Role) -> bool:
    """Whether an account of `role` may create grants on files of its own inbox."""
    return _may_grant(role, _case_relation(role, INBOX))


def may_grant_in_case(role: Role, case_role: CaseRole) -> bool:
    """Whether an account of `role` that is a member as `case_role` may create grants on files of the case."""
    return _may_grant(role, MEMBERSHIPS[role][case_role])


def _may_grant(role: Role, stand: RelationKind) -> bool:
    return role in Action.GRANT_SET.rule.roles and stand in Action.GRANT_SET.rule.stands


def links_allowed(tlp: Tlp) -> bool:
    """Whether the content of a case of that colour may be shared with people without an account."""
    return tlp in SHAREABLE_TLP


def _refusal(kind: type[PortalError], action: Action, about: UUID | None = None) -> PortalError:
    """An error that carries the refused action and object for the audit log.

    The log can so tell a refusal that the caller sees as 404 from an object that does not exist.
    """
    error = kind()
    error.action, error.subject = action.value, None if about is None else str(about)
    return error


def _grantee(principal: Principal, standing: Relation) -> RelationKind:
    red = standing.case is not None and standing.case.tlp is Tlp.RED  # for members only
    passed_on = principal.kind is CredentialKind.LINK
    holds = standing.granted and may_be_granted(principal.role)
    return RelationKind.GRANTEE if holds and not red and not passed_on else RelationKind.NOBODY


def _reaches(principal: Principal, standing: Relation) -> bool:
    """Whether the credential is valid for the place of the object at all: its case, or an inbox.

    A credential for one case is valid in that case only. A link is valid only in the case or the inbox of its creator.
    """
    case_id = None if standing.case is None else standing.case.id
    if principal.kind is CredentialKind.LINK and standing.case is not None:
        open_ = links_allowed(standing.case.tlp) or Permission.LINK_UPLOAD in principal.permissions
        return principal.case_id is not None and case_id == principal.case_id and open_
    if principal.kind is CredentialKind.LINK:
        return principal.case_id is None
    return principal.case_id is None or case_id == principal.case_id


def _case_relation(role: Role, standing: Relation) -> RelationKind:
    if role is Role.AUDITOR:
        return RelationKind.AUDITOR  # also where it owns the file or is a member: an auditor never reads content
    if standing.case is None:
        return RelationKind.OWNER if standing.is_owner else RelationKind.NOBODY
    if standing.case.role is None:
        return RelationKind.NOBODY  # a file in a case belongs to the members; its uploader has no right of its own
    stand = MEMBERSHIPS[role][standing.case.role]
    return RelationKind.NOBODY if stand is RelationKind.UPLOADER and not standing.is_owner else stand
