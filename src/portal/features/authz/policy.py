"""The policy door: may this principal do this, here? Its rows are `actions` (`docs/access.md` has the same tables).

Comes in: a principal, an action, and for an object the caller's standing. Leaves: nothing, or the error the caller may
see. What a caller may not know of is NotFound, never Forbidden.
"""

from collections.abc import Iterable
from uuid import UUID

from portal.core.errors import Conflict, Forbidden, InsufficientScope, NotFound, PortalError
from portal.core.principal import EVERY_PERMISSION, CredentialKind, Permission, Principal, Role
from portal.features.authz.actions import INVESTIGATORS, OVERSEERS, Action
from portal.features.authz.relation import INBOX, CaseRole, CaseStatus, Relation, RelationKind, Tlp


class CaseReadOnly(Conflict):
    code, title = "case_read_only", "The case is closed or archived; reopen it first."


class TlpForbidsLinks(Conflict):
    code, title = "tlp_forbids_links", "The case's TLP colour lets nothing go to people without an account."


MEMBERSHIPS: dict[Role, dict[CaseRole, RelationKind]] = {
    Role.ADMIN: {role: RelationKind(role) for role in CaseRole},
    Role.ANALYST: {role: RelationKind(role) for role in CaseRole},
    Role.UPLOADER: dict.fromkeys(CaseRole, RelationKind.UPLOADER),
    Role.AUDITOR: dict.fromkeys(CaseRole, RelationKind.AUDITOR),
}
"""What a membership is worth to an account: never more than the account's role."""

GRANTEES: frozenset[Role] = INVESTIGATORS
"""Accounts that may be let read a single file: others never read."""

STATUS_TRANSITIONS: dict[CaseStatus, frozenset[CaseStatus]] = {
    CaseStatus.OPEN: frozenset({CaseStatus.IN_PROGRESS, CaseStatus.ON_HOLD, CaseStatus.CLOSED}),
    CaseStatus.IN_PROGRESS: frozenset({CaseStatus.ON_HOLD, CaseStatus.CLOSED}),
    CaseStatus.ON_HOLD: frozenset({CaseStatus.IN_PROGRESS, CaseStatus.CLOSED}),
    CaseStatus.CLOSED: frozenset({CaseStatus.OPEN, CaseStatus.ARCHIVED}),
    CaseStatus.ARCHIVED: frozenset({CaseStatus.OPEN}),
}
"""Where a case may go from each status. Back to `open` is reopening."""

SHAREABLE_TLP: frozenset[Tlp] = frozenset({Tlp.CLEAR, Tlp.GREEN, Tlp.AMBER})
"""From cases of which colour something may go to people without an account."""

GRANTABLE: frozenset[Permission] = EVERY_PERMISSION - {Permission.ACCOUNT, Permission.ADMINISTER}
"""What an API token may be made for: accounts, credentials and the portal itself are for persons, signed in."""


def require_permissions(principal: Principal, permissions: Iterable[Permission]) -> None:
    """What a route asks of the credential, before it asks anything of its owner. Raises InsufficientScope."""
    missing = sorted(set(permissions) - principal.permissions)
    if missing:
        raise InsufficientScope(f"The token lacks the permission {' and '.join(missing)}.")


def require_of(principal: Principal, action: Action, owner_id: UUID) -> None:
    """For what belongs to an account. Raises Forbidden where the caller may know of it, else NotFound; and
    InsufficientScope where a role allows it that the session was not begun for.
    """
    if owner_id == principal.user_id:
        return
    if principal.role in action.rule.on_others:
        require_permissions(principal, filter(None, [action.rule.permission_on_others]))
        return
    raise _refusal(Forbidden if principal.role in OVERSEERS else NotFound, action, owner_id)


def require(principal: Principal, action: Action) -> None:
    """For actions without an object yet. Raises Forbidden."""
    confined = action is Action.CASE_CREATE and principal.case_id is not None
    if principal.role not in action.rule.roles or confined:
        raise _refusal(Forbidden, action)


def require_on(principal: Principal, action: Action, standing: Relation) -> None:
    """For one object. Raises Forbidden where the caller may know of it, else NotFound; CaseReadOnly."""
    if not _reaches(principal, standing):
        raise _refusal(NotFound, action, standing.about)
    held = relations_of(principal, standing)
    if not held & action.rule.stands:
        known = held & action.rule.known_to
        raise _refusal(Forbidden if known else NotFound, action, standing.about)
    if standing.case is not None and standing.case.status not in action.rule.statuses:
        raise CaseReadOnly
    if standing.case is None and action is Action.FILE_BREAK_GLASS:
        raise Forbidden("Nobody but its owner reads an inbox: there is no lead to show it to.")


def require_links(principal: Principal, action: Action, standing: Relation) -> None:
    """That a link may be made for that: to what may leave the case; or by its lead to hand in, whatever its colour.

    Raises TlpForbidsLinks.
    """
    if standing.case is None or links_allowed(standing.case.tlp):
        return
    if action is not Action.LINK_UPLOAD or RelationKind.LEAD not in relations_of(principal, standing):
        raise TlpForbidsLinks


def relations_of(principal: Principal, standing: Relation) -> frozenset[RelationKind]:
    """The columns of the table that a caller has."""
    by_role = {Role.ADMIN: RelationKind.ADMIN, Role.AUDITOR: RelationKind.AUDITOR}.get(
        principal.role, RelationKind.NOBODY
    )
    may_break = principal.role is Role.ADMIN and principal.kind is CredentialKind.SESSION  # a person gave the reason
    glass = RelationKind.BREAK_GLASS if standing.broke_glass and may_break else RelationKind.NOBODY
    return frozenset({by_role, glass, _grantee(principal, standing), _case_relation(principal.role, standing)})


def may_own(role: Role) -> bool:
    """Whether an account of `role` gets at what lies in its own inbox."""
    return _case_relation(role, INBOX) is RelationKind.OWNER


def may_be_granted(role: Role) -> bool:
    """Whether an account of `role` gets anything by a grant."""
    return role in GRANTEES


def may_know_name(principal: Principal, user_id: UUID) -> bool:
    """Whether an account's name is told beside its id: not to uploader accounts, which strangers may have."""
    return principal.role is not Role.UPLOADER or principal.user_id == user_id


def may_be(role: Role, case_role: CaseRole) -> bool:
    """Whether an account of `role` can be a member as `case_role`: only as what it would be worth."""
    return MEMBERSHIPS[role][case_role] == RelationKind(case_role)


def may_grant_own(role: Role) -> bool:
    """Whether an account of `role` may let others read what lies in its inbox."""
    return _may_grant(role, _case_relation(role, INBOX))


def may_grant_in_case(role: Role, case_role: CaseRole) -> bool:
    """Whether an account of `role` that is a member as `case_role` may let others read a file of the case."""
    return _may_grant(role, MEMBERSHIPS[role][case_role])


def _may_grant(role: Role, stand: RelationKind) -> bool:
    return role in Action.GRANT_SET.rule.roles and stand in Action.GRANT_SET.rule.stands


def links_allowed(tlp: Tlp) -> bool:
    """Whether a case of that colour may be shared with people without an account."""
    return tlp in SHAREABLE_TLP


def _refusal(kind: type[PortalError], action: Action, about: UUID | None = None) -> PortalError:
    """An error that says to the audit log what was refused: so it knows what is not there from what is hidden."""
    error = kind()
    error.action, error.subject = action.value, None if about is None else str(about)
    return error


def _grantee(principal: Principal, standing: Relation) -> RelationKind:
    red = standing.case is not None and standing.case.tlp is Tlp.RED  # for members alone
    passed_on = principal.kind is CredentialKind.LINK
    holds = standing.granted and may_be_granted(principal.role)
    return RelationKind.GRANTEE if holds and not red and not passed_on else RelationKind.NOBODY


def _reaches(principal: Principal, standing: Relation) -> bool:
    """Whether the object lies where the caller's credential is good at all. A link never leaves its own place."""
    case_id = None if standing.case is None else standing.case.id
    if principal.kind is CredentialKind.LINK and standing.case is not None:
        open_ = links_allowed(standing.case.tlp) or Permission.LINK_UPLOAD in principal.permissions
        return principal.case_id is not None and case_id == principal.case_id and open_
    if principal.kind is CredentialKind.LINK:
        return principal.case_id is None
    return principal.case_id is None or case_id == principal.case_id


def _case_relation(role: Role, standing: Relation) -> RelationKind:
    if role is Role.AUDITOR:
        return RelationKind.AUDITOR  # whatever it owns or belongs to: never content
    if standing.case is None:
        return RelationKind.OWNER if standing.is_owner else RelationKind.NOBODY
    if standing.case.role is None:
        return RelationKind.NOBODY  # what lies in a case is its members', whoever handed it in
    stand = MEMBERSHIPS[role][standing.case.role]
    return RelationKind.NOBODY if stand is RelationKind.UPLOADER and not standing.is_owner else stand
