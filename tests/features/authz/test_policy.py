"""What the policy holds over all actions, roles and places, where no single request shows it.

Which caller gets what from which route is `tests/e2e/matrix_table.py`, on a real server; that the rows are those of
`docs/access.md` is `tests/docs`.
"""

from dataclasses import replace
from uuid import UUID

import pytest

from portal.core.errors import Forbidden, InsufficientScope, NotFound, PortalError
from portal.core.principal import CredentialKind, Permission, Principal, Role
from portal.features.authz import policy, tlp
from portal.features.authz.actions import EVERYONE, SEE_CASE, SEE_FILE, UNTIL_ARCHIVED, UNTIL_CLOSED, Action
from portal.features.authz.policy import CaseReadOnly, CaseShredded
from portal.features.authz.relation import CaseContext, CaseRole, CaseStatus, Relation, RelationKind, Tlp
from portal.features.authz.visibility import sees_every_case, visible_to

ME, SESSION = UUID(int=1), UUID(int=3)
ON_OBJECTS = [action for action in Action if action.rule.stands]
ON_OTHERS = [action for action in Action if action.rule.on_others]
ON_FILES = [action for action in ON_OBJECTS if action.rule.known_to == SEE_FILE and action is not Action.FILE_LIST]
Answer = type[PortalError] | None


def principal(role: Role) -> Principal:
    return Principal(f"user:{ME}", role, ME, SESSION)


def case(role: CaseRole | None, status: CaseStatus = CaseStatus.OPEN) -> CaseContext:
    return CaseContext(status, Tlp.AMBER, role)


def answer_on(role: Role, action: Action, standing: Relation) -> Answer:
    try:
        policy.require_on(principal(role), action, standing)
    except PortalError as refused:
        return type(refused)
    return None


def test_every_action_has_a_row_that_allows_somebody_something() -> None:
    for action in Action:
        rule = action.rule
        assert rule.roles or rule.stands or rule.on_others
        assert bool(rule.stands) is bool(rule.known_to)
        assert (
            rule.stands - {RelationKind.BREAK_GLASS, RelationKind.OWNER} <= rule.known_to
        )  # no right to what is unknown
    assert {stand for action in ON_OBJECTS for stand in action.rule.stands} == set(RelationKind) - {RelationKind.NOBODY}


def test_an_action_is_refused_where_its_row_has_no_column() -> None:
    for action in Action:
        if not action.rule.roles:
            with pytest.raises(Forbidden):
                policy.require(principal(Role.ADMIN), action)
        if not action.rule.stands:
            assert answer_on(Role.ADMIN, action, Relation(is_owner=True, case=case(CaseRole.LEAD))) is NotFound
        if not action.rule.on_others:
            with pytest.raises(Forbidden):
                policy.require_of(principal(Role.ADMIN), action, UUID(int=2))


def test_an_action_before_an_object_is_for_the_roles_of_its_row() -> None:
    for action in Action:
        for role in action.rule.roles:
            policy.require(principal(role), action)
        for role in EVERYONE - action.rule.roles:
            with pytest.raises(Forbidden):
                policy.require(principal(role), action)


def test_a_credential_has_every_permission_that_is_asked_or_goes_no_further() -> None:
    some = {Permission.FILES_READ, Permission.FILES_UPLOAD}
    made_for = replace(principal(Role.ADMIN), permissions=frozenset(some))
    policy.require_permissions(made_for, some)
    policy.require_permissions(made_for, ())
    for permission in set(Permission) - some:
        with pytest.raises(InsufficientScope):
            policy.require_permissions(made_for, [Permission.FILES_READ, permission])


def test_a_sign_in_has_every_permission_and_a_token_never_the_account() -> None:
    links_own = {Permission.LINK_DOWNLOAD, Permission.LINK_UPLOAD}
    policy.require_permissions(principal(Role.AUDITOR), set(Permission) - links_own)
    for permission in links_own:
        with pytest.raises(InsufficientScope):
            policy.require_permissions(principal(Role.ADMIN), [permission])
    assert frozenset(Permission) - links_own - {Permission.ACCOUNT, Permission.ADMINISTER} == policy.GRANTABLE


def test_what_belongs_to_an_account_is_its_own_and_hidden_from_all_but_overseers() -> None:
    for action in ON_OTHERS:
        for role in Role:
            policy.require_of(principal(role), action, ME)
            if role in action.rule.on_others:
                policy.require_of(principal(role), action, UUID(int=2))
                continue
            with pytest.raises((Forbidden, NotFound)) as refused:
                policy.require_of(principal(role), action, UUID(int=2))
            assert refused.type is (Forbidden if role in {Role.ADMIN, Role.AUDITOR} else NotFound)


def test_what_is_anothers_asks_for_a_session_that_runs_the_portal() -> None:
    narrow = replace(principal(Role.ADMIN), permissions=frozenset({Permission.ACCOUNT}))
    for action in ON_OTHERS:
        policy.require_of(narrow, action, narrow.user_id)
        if action is not Action.GRANTS_OF_ACCOUNT:
            with pytest.raises(InsufficientScope):
                policy.require_of(narrow, action, UUID(int=9))


def test_a_file_in_a_case_is_its_members_even_if_somebody_else_uploaded_it() -> None:
    for action in ON_FILES:
        assert answer_on(Role.ANALYST, action, Relation(is_owner=True, case=case(None))) is NotFound


@pytest.mark.parametrize("membership", CaseRole)
def test_an_auditor_gets_nothing_by_a_membership(membership: CaseRole) -> None:
    for action in ON_OBJECTS:
        plain = answer_on(Role.AUDITOR, action, Relation(is_owner=False, case=case(None)))
        assert answer_on(Role.AUDITOR, action, Relation(is_owner=True, case=case(membership))) == plain
    standing = Relation(is_owner=True, case=case(membership))
    assert answer_on(Role.AUDITOR, Action.FILE_DOWNLOAD, standing) is Forbidden


@pytest.mark.parametrize("membership", CaseRole)
def test_an_uploader_account_only_uploads_whatever_its_membership_says(membership: CaseRole) -> None:
    for action in ON_OBJECTS:
        for is_owner in (True, False):
            for_it = answer_on(Role.UPLOADER, action, Relation(is_owner=is_owner, case=case(membership)))
            plain = answer_on(Role.UPLOADER, action, Relation(is_owner=is_owner, case=case(CaseRole.UPLOADER)))
            assert for_it == plain
    standing = Relation(is_owner=True, case=case(membership))
    assert answer_on(Role.UPLOADER, Action.FILE_DOWNLOAD, standing) is Forbidden


@pytest.mark.parametrize("role", [Role.ANALYST, Role.UPLOADER])
def test_an_uploader_of_a_case_sees_that_a_file_arrived_and_does_nothing_to_it(role: Role) -> None:
    uploaded = Relation(is_owner=True, case=case(CaseRole.UPLOADER))
    for action in ON_FILES:
        assert answer_on(role, action, uploaded) is (None if action is Action.FILE_READ else Forbidden)


@pytest.mark.parametrize("membership", CaseRole)
def test_an_administrator_who_is_a_member_may_do_what_either_may(membership: CaseRole) -> None:
    for action in ON_OBJECTS:
        standing = Relation(is_owner=False, case=case(membership))
        either = {answer_on(Role.ADMIN, action, Relation(is_owner=False, case=case(None)))}
        either |= {answer_on(Role.ANALYST, action, standing)}
        assert (answer_on(Role.ADMIN, action, standing) is None) == (None in either)


def test_breaking_glass_opens_for_administrators_alone() -> None:
    broken = Relation(is_owner=False, case=case(None), broke_glass=True)
    answers = {role: answer_on(role, Action.FILE_DOWNLOAD, broken) for role in Role}
    assert answers == {
        Role.ADMIN: None,
        Role.ANALYST: NotFound,
        Role.UPLOADER: NotFound,
        Role.AUDITOR: Forbidden,
    }
    for action in set(ON_OBJECTS) - {Action.FILE_DOWNLOAD}:
        plain = Relation(is_owner=False, case=case(None))
        assert answer_on(Role.ADMIN, action, broken) == answer_on(Role.ADMIN, action, plain)


def test_glass_is_broken_by_a_person_who_is_signed_in() -> None:
    broken = Relation(is_owner=False, case=case(None), broke_glass=True)
    policy.require_on(principal(Role.ADMIN), Action.FILE_DOWNLOAD, broken)
    by_token = replace(principal(Role.ADMIN), kind=CredentialKind.TOKEN)
    with pytest.raises(Forbidden):
        policy.require_on(by_token, Action.FILE_DOWNLOAD, broken)


def test_a_grantee_knows_of_the_file_and_cannot_pass_it_on() -> None:
    allowed = {Action.FILE_READ, Action.FILE_DOWNLOAD, Action.GRANT_DECLINE}
    for place in (None, case(None)):
        granted = Relation(is_owner=False, case=place, granted=True)
        for action in ON_FILES:
            assert answer_on(Role.ANALYST, action, granted) is (None if action in allowed else Forbidden)
            assert answer_on(Role.UPLOADER, action, granted) is NotFound


@pytest.mark.parametrize("status", CaseStatus)
def test_a_closed_case_is_read_only_and_an_archived_one_keeps_even_its_members(status: CaseStatus) -> None:
    for action in ON_OBJECTS:
        taken = status in action.rule.statuses
        for role in (Role.ANALYST, Role.ADMIN):
            live = answer_on(role, action, Relation(is_owner=True, case=case(CaseRole.LEAD)))
            now = answer_on(role, action, Relation(is_owner=True, case=case(CaseRole.LEAD, status)))
            refusal = CaseShredded if status is CaseStatus.SHREDDED else CaseReadOnly
            assert now is (refusal if live is None and not taken else live)  # a stranger learns no status
        assert answer_on(Role.ANALYST, action, Relation(is_owner=True, case=case(None, status))) is NotFound


def test_what_takes_a_right_away_is_possible_in_every_status() -> None:
    never_closed = {action for action in ON_OBJECTS if action.rule.statuses == UNTIL_CLOSED}
    until_archived = {action for action in ON_OBJECTS if action.rule.statuses == UNTIL_ARCHIVED}
    assert until_archived == {Action.MEMBER_SET, Action.GRANT_SET}
    leaving = {Action.CASE_STATUS, Action.MEMBER_REMOVE, Action.MEMBER_LEAVE, Action.GRANT_REVOKE}
    leaving |= {Action.GRANT_DECLINE, Action.CASE_LINK_REVOKE}
    assert leaving.isdisjoint(never_closed | until_archived)


def test_an_account_is_a_member_only_as_what_it_would_be_worth() -> None:
    every = set(CaseRole)
    expected: dict[Role, set[CaseRole]] = {
        Role.ADMIN: every,
        Role.ANALYST: every,
        Role.UPLOADER: {CaseRole.UPLOADER},
        Role.AUDITOR: set(),
    }
    assert {role: {member for member in CaseRole if policy.may_be(role, member)} for role in Role} == expected


def test_a_listing_shows_what_a_reading_would() -> None:
    for role in Role:
        assert sees_every_case(principal(role)) is (role in {Role.ADMIN, Role.AUDITOR})
        seen = visible_to(principal(role))
        for membership in CaseRole:
            read = answer_on(role, Action.FILE_READ, Relation(is_owner=False, case=case(membership)))
            assert (read is None) == (seen.user_id is None or membership in seen.roles)


def test_the_tables_leave_out_no_role_no_status_and_no_colour() -> None:
    assert set(policy.MEMBERSHIPS) == set(Role)
    assert all(set(worth) == set(CaseRole) for worth in policy.MEMBERSHIPS.values())
    assert set(policy.STATUS_TRANSITIONS) == set(CaseStatus)
    assert [str(tlp) for tlp in Tlp] == ["CLEAR", "GREEN", "AMBER", "AMBER+STRICT", "RED"]


def test_content_is_never_for_those_who_only_manage_watch_or_upload() -> None:
    reads = Action.FILE_DOWNLOAD.rule.stands
    assert reads.isdisjoint({RelationKind.ADMIN, RelationKind.AUDITOR, RelationKind.UPLOADER, RelationKind.NOBODY})
    assert Action.CASE_READ.rule.stands == SEE_CASE
    assert Action.FILE_READ.rule.stands == SEE_FILE


CASE, ANOTHER = UUID(int=7), UUID(int=8)


@pytest.mark.parametrize("origin", [None, *Tlp])
def test_a_move_takes_no_colour_off_that_is_enforced(origin: Tlp | None) -> None:
    order = {Tlp.AMBER_STRICT: 1, Tlp.RED: 2}
    for target in (None, *Tlp):
        cases = [None if tlp is None else replace(case(CaseRole.LEAD), tlp=tlp) for tlp in (target, origin)]
        there, here = (Relation(is_owner=True, case=one) for one in cases)
        if order.get(target or Tlp.CLEAR, 0) >= order.get(origin or Tlp.CLEAR, 0):
            tlp.require_tlp(here, there)
        else:
            with pytest.raises(tlp.TlpForbidsMove):
                tlp.require_tlp(here, there)


def test_a_credential_for_one_case_finds_nothing_outside_of_it() -> None:
    confined = replace(principal(Role.ANALYST), case_id=CASE)
    within = Relation(is_owner=True, case=replace(case(CaseRole.LEAD), id=CASE))
    elsewhere = Relation(is_owner=True), replace(within, case=replace(case(CaseRole.LEAD), id=ANOTHER))
    for action in ON_OBJECTS:
        if answer_on(Role.ANALYST, action, replace(within, case=case(CaseRole.LEAD))) is None:
            policy.require_on(confined, action, within)
        for outside in elsewhere:
            with pytest.raises(NotFound):
                policy.require_on(confined, action, outside)
    with pytest.raises(Forbidden):
        policy.require(confined, Action.CASE_CREATE)
    assert visible_to(confined).case_id == CASE
