"""The policy, written out: who may do what to what, and what a refusal gives away."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from uuid import UUID

import pytest

from portal.core.errors import Forbidden, InsufficientScope, NotFound, PortalError
from portal.core.principal import Action, CredentialKind, Permission, Principal, Role
from portal.features.authz import colours, policy
from portal.features.authz.policy import CaseReadOnly
from portal.features.authz.sight import sees_every_case, sight_of
from portal.features.authz.standing import CaseRole, CaseStatus, InCase, Stand, Standing, Tlp

ME, SESSION = UUID(int=1), UUID(int=3)
YES, FORBIDDEN, NOT_FOUND, READ_ONLY = None, Forbidden, NotFound, CaseReadOnly
ROLES = ("admin", "analyst", "uploader", "auditor")
OUTSIDE = ("files.create", "files.list", "cases.create", "cases.list", "users.manage", "links.list")
ABOUT_FILES: tuple[str, ...] = (
    "files.read",
    "files.download",
    "files.update",
    "files.delete",
    "files.move",
    "files.break_glass",
)
GRANTS = ("files.grants.list", "files.grants.set", "files.grants.revoke", "files.grants.decline")
ABOUT_FILES += GRANTS

Answer = type[PortalError] | None

BOTH = ("files.grants.set", "cases.break_glass.list")

# action: for each role (admin, analyst, uploader, auditor)
WITHOUT_OBJECT = {
    "files.create": (YES, YES, YES, FORBIDDEN),
    "files.list": (YES, YES, YES, YES),
    "cases.create": (YES, YES, FORBIDDEN, FORBIDDEN),
    "cases.list": (YES, YES, YES, YES),
    "users.manage": (YES, FORBIDDEN, FORBIDDEN, FORBIDDEN),
    "links.list": (YES, YES, YES, YES),
    "files.grants.set": (YES, YES, FORBIDDEN, FORBIDDEN),
    "cases.break_glass.list": (YES, FORBIDDEN, FORBIDDEN, YES),
}
IN_MY_INBOX = {
    "files.create": (YES, YES, YES, FORBIDDEN),
    "files.list": (YES, YES, YES, YES),
    "files.read": (YES, YES, YES, YES),
    "files.download": (YES, YES, YES, FORBIDDEN),
    "files.update": (YES, YES, YES, FORBIDDEN),
    "files.delete": (YES, YES, YES, FORBIDDEN),
    "files.move": (YES, YES, YES, FORBIDDEN),
    "files.break_glass": (FORBIDDEN, FORBIDDEN, FORBIDDEN, FORBIDDEN),
    "files.grants.list": (YES, YES, YES, YES),
    "files.grants.set": (YES, YES, YES, FORBIDDEN),
    "files.grants.revoke": (YES, YES, YES, FORBIDDEN),
    "files.grants.decline": (FORBIDDEN, FORBIDDEN, FORBIDDEN, FORBIDDEN),
    "links.give_files": (YES, YES, YES, FORBIDDEN),
    "links.collect": (YES, YES, YES, FORBIDDEN),
}
IN_ANOTHERS_INBOX = {
    "files.read": (YES, NOT_FOUND, NOT_FOUND, YES),
    "files.download": (FORBIDDEN, NOT_FOUND, NOT_FOUND, FORBIDDEN),
    "files.update": (YES, NOT_FOUND, NOT_FOUND, FORBIDDEN),
    "files.delete": (YES, NOT_FOUND, NOT_FOUND, FORBIDDEN),
    "files.move": (FORBIDDEN, NOT_FOUND, NOT_FOUND, FORBIDDEN),
    "files.break_glass": (FORBIDDEN, NOT_FOUND, NOT_FOUND, FORBIDDEN),
    "files.grants.list": (YES, NOT_FOUND, NOT_FOUND, YES),
    "files.grants.set": (FORBIDDEN, NOT_FOUND, NOT_FOUND, FORBIDDEN),
    "files.grants.revoke": (YES, NOT_FOUND, NOT_FOUND, FORBIDDEN),
    "files.grants.decline": (FORBIDDEN, NOT_FOUND, NOT_FOUND, FORBIDDEN),
    "links.give_files": (FORBIDDEN, NOT_FOUND, NOT_FOUND, FORBIDDEN),
}
# action: for an analyst who is lead, contributor, reader, uploader or no member; for an admin, for an auditor
MEMBERS = ("lead", "contributor", "reader", "uploader", "nobody", "admin", "auditor")
IN_A_CASE = {
    "files.create": (YES, YES, FORBIDDEN, YES, NOT_FOUND, FORBIDDEN, FORBIDDEN),
    "files.list": (YES, YES, YES, YES, NOT_FOUND, YES, YES),
    "files.read": (YES, YES, YES, NOT_FOUND, NOT_FOUND, YES, YES),
    "files.download": (YES, YES, YES, NOT_FOUND, NOT_FOUND, FORBIDDEN, FORBIDDEN),
    "files.update": (YES, YES, FORBIDDEN, NOT_FOUND, NOT_FOUND, YES, FORBIDDEN),
    "files.delete": (YES, FORBIDDEN, FORBIDDEN, NOT_FOUND, NOT_FOUND, YES, FORBIDDEN),
    "files.move": (YES, FORBIDDEN, FORBIDDEN, NOT_FOUND, NOT_FOUND, FORBIDDEN, FORBIDDEN),
    "files.break_glass": (FORBIDDEN, FORBIDDEN, FORBIDDEN, NOT_FOUND, NOT_FOUND, YES, FORBIDDEN),
    "cases.read": (YES, YES, YES, YES, NOT_FOUND, YES, YES),
    "cases.update": (YES, FORBIDDEN, FORBIDDEN, FORBIDDEN, NOT_FOUND, YES, FORBIDDEN),
    "cases.status": (YES, FORBIDDEN, FORBIDDEN, FORBIDDEN, NOT_FOUND, YES, FORBIDDEN),
    "cases.delete": (YES, FORBIDDEN, FORBIDDEN, FORBIDDEN, NOT_FOUND, YES, FORBIDDEN),
    "cases.members.list": (YES, YES, YES, FORBIDDEN, NOT_FOUND, YES, YES),
    "cases.members.set": (YES, FORBIDDEN, FORBIDDEN, FORBIDDEN, NOT_FOUND, YES, FORBIDDEN),
    "cases.members.remove": (YES, FORBIDDEN, FORBIDDEN, FORBIDDEN, NOT_FOUND, YES, FORBIDDEN),
    "cases.members.leave": (YES, YES, YES, YES, NOT_FOUND, FORBIDDEN, FORBIDDEN),
    "cases.break_glass.list": (YES, FORBIDDEN, FORBIDDEN, FORBIDDEN, NOT_FOUND, YES, YES),
    "files.grants.list": (YES, FORBIDDEN, FORBIDDEN, NOT_FOUND, NOT_FOUND, YES, YES),
    "files.grants.set": (YES, FORBIDDEN, FORBIDDEN, NOT_FOUND, NOT_FOUND, FORBIDDEN, FORBIDDEN),
    "files.grants.revoke": (YES, FORBIDDEN, FORBIDDEN, NOT_FOUND, NOT_FOUND, YES, FORBIDDEN),
    "files.grants.decline": (FORBIDDEN, FORBIDDEN, FORBIDDEN, NOT_FOUND, NOT_FOUND, FORBIDDEN, FORBIDDEN),
    "links.give_files": (YES, YES, FORBIDDEN, FORBIDDEN, NOT_FOUND, FORBIDDEN, FORBIDDEN),
    "links.give_case": (YES, FORBIDDEN, FORBIDDEN, FORBIDDEN, NOT_FOUND, FORBIDDEN, FORBIDDEN),
    "links.collect": (YES, YES, FORBIDDEN, FORBIDDEN, NOT_FOUND, FORBIDDEN, FORBIDDEN),
    "cases.links.list": (YES, FORBIDDEN, FORBIDDEN, FORBIDDEN, NOT_FOUND, YES, YES),
    "cases.links.revoke": (YES, NOT_FOUND, NOT_FOUND, NOT_FOUND, NOT_FOUND, YES, FORBIDDEN),
}
HANDED_IN_BY_AN_UPLOADER = {
    "files.read": YES,
    "files.download": FORBIDDEN,
    "files.update": FORBIDDEN,
    "files.delete": FORBIDDEN,
    "files.move": FORBIDDEN,
    "files.break_glass": FORBIDDEN,
    **dict.fromkeys(GRANTS, FORBIDDEN),
}
READING = {"files.list", "files.read", "files.download", "files.break_glass"}
READING |= {"files.grants.list", "cases.read", "cases.members.list", "cases.break_glass.list", "cases.links.list"}
LEAVING = {"cases.status", "cases.members.remove", "cases.members.leave", "files.grants.revoke", "cases.links.revoke"}
LEAVING |= {"files.grants.decline"}


def cells(names: Sequence[str], table: Mapping[str, Sequence[Answer]]) -> list[tuple[str, str, Answer]]:
    return [(name, action, answer) for action, row in table.items() for name, answer in zip(names, row, strict=True)]


def principal(role: str) -> Principal:
    return Principal(f"user:{ME}", Role(role), ME, SESSION)


def case(role: str | None, status: CaseStatus = CaseStatus.OPEN) -> InCase:
    return InCase(status, Tlp.AMBER, None if role is None else CaseRole(role))


def answer_on(role: str, action: str, standing: Standing) -> Answer:
    try:
        policy.require_on(principal(role), Action(action), standing)
    except PortalError as refused:
        return type(refused)
    return None


@pytest.mark.parametrize(("role", "action", "answer"), cells(ROLES, WITHOUT_OBJECT))
def test_before_there_is_an_object(role: str, action: str, answer: Answer) -> None:
    if answer is None:
        policy.require(principal(role), Action(action))
    else:
        with pytest.raises(answer):
            policy.require(principal(role), Action(action))


@pytest.mark.parametrize(("role", "action", "answer"), cells(ROLES, IN_MY_INBOX))
def test_in_ones_own_inbox(role: str, action: str, answer: Answer) -> None:
    assert answer_on(role, action, Standing(theirs=True)) == answer


@pytest.mark.parametrize(("role", "action", "answer"), cells(ROLES, IN_ANOTHERS_INBOX))
def test_in_the_inbox_of_another(role: str, action: str, answer: Answer) -> None:
    assert answer_on(role, action, Standing(theirs=False)) == answer


@pytest.mark.parametrize(("member", "action", "answer"), cells(MEMBERS, IN_A_CASE))
def test_in_a_case(member: str, action: str, answer: Answer) -> None:
    outside = member in {"nobody", "admin", "auditor"}
    role = member if member in {"admin", "auditor"} else "analyst"
    standing = Standing(theirs=action not in ABOUT_FILES, case=case(None if outside else member))
    assert answer_on(role, action, standing) == answer


@pytest.mark.parametrize("role", ["analyst", "uploader"])
@pytest.mark.parametrize("action", HANDED_IN_BY_AN_UPLOADER)
def test_who_only_hands_in_sees_that_it_arrived(role: str, action: str) -> None:
    handed_in = Standing(theirs=True, case=case("uploader"))
    assert answer_on(role, action, handed_in) == HANDED_IN_BY_AN_UPLOADER[action]


def test_a_credential_has_every_permission_that_is_asked_or_goes_no_further() -> None:
    some = {Permission.FILES_READ, Permission.FILES_UPLOAD}
    made_for = replace(principal("admin"), permissions=frozenset(some))
    policy.require_permissions(made_for, some)
    policy.require_permissions(made_for, ())
    for permission in set(Permission) - some:
        with pytest.raises(InsufficientScope):
            policy.require_permissions(made_for, [Permission.FILES_READ, permission])


def test_a_sign_in_has_every_permission_and_a_token_never_the_account() -> None:
    links_own = {Permission.LINK_DOWNLOAD, Permission.LINK_UPLOAD}
    policy.require_permissions(principal("auditor"), set(Permission) - links_own)
    for permission in links_own:
        with pytest.raises(InsufficientScope):
            policy.require_permissions(principal("admin"), [permission])
    assert frozenset(Permission) - links_own - {Permission.ACCOUNT, Permission.ADMINISTER} == policy.GRANTABLE


@pytest.mark.parametrize(
    ("role", "listed", "revoked"),
    [
        ("admin", YES, YES),
        ("auditor", YES, FORBIDDEN),
        ("analyst", NOT_FOUND, NOT_FOUND),
        ("uploader", NOT_FOUND, NOT_FOUND),
    ],
)
def test_what_belongs_to_the_account_of_another(role: str, listed: Answer, revoked: Answer) -> None:
    for action, answer in (
        (Action.TOKEN_LIST, listed),
        (Action.TOKEN_REVOKE, revoked),
        (Action.LINK_REVOKE, revoked),
    ):
        policy.require_of(principal(role), action, ME)
        if answer is None:
            policy.require_of(principal(role), action, UUID(int=2))
        else:
            with pytest.raises(answer) as refused:
                policy.require_of(principal(role), action, UUID(int=2))
            assert refused.type is answer


@pytest.mark.parametrize("action", ABOUT_FILES)
def test_what_lies_in_a_case_is_its_members_whoever_handed_it_in(action: str) -> None:
    assert answer_on("analyst", action, Standing(theirs=True, case=case(None))) is NOT_FOUND


@pytest.mark.parametrize("membership", CaseRole)
@pytest.mark.parametrize("action", sorted(set(Action) - set(policy.ACCOUNTS)))
def test_an_auditor_gets_nothing_by_a_membership(action: str, membership: str) -> None:
    if action in OUTSIDE:
        return
    assert answer_on("auditor", action, Standing(theirs=True, case=case(membership))) == answer_on(
        "auditor", action, Standing(theirs=False, case=case(None))
    )
    assert answer_on("auditor", "files.download", Standing(theirs=True, case=case(membership))) is FORBIDDEN


@pytest.mark.parametrize("membership", CaseRole)
@pytest.mark.parametrize("action", sorted(set(Action) - set(OUTSIDE) - set(policy.ACCOUNTS)))
def test_an_uploader_only_hands_in_whatever_their_membership_says(action: str, membership: str) -> None:
    for theirs in (True, False):
        for_it = answer_on("uploader", action, Standing(theirs=theirs, case=case(membership)))
        assert for_it == answer_on("uploader", action, Standing(theirs=theirs, case=case("uploader")))
    assert answer_on("uploader", "files.download", Standing(theirs=True, case=case(membership))) is FORBIDDEN


@pytest.mark.parametrize("action", sorted(set(Action) - set(OUTSIDE) - set(policy.ACCOUNTS)))
def test_an_administrator_who_is_a_member_may_do_what_either_may(action: str) -> None:
    for membership in CaseRole:
        standing = Standing(theirs=False, case=case(membership))
        either = {answer_on("admin", action, Standing(theirs=False, case=case(None)))}
        either |= {answer_on("analyst", action, standing)}
        assert (answer_on("admin", action, standing) is YES) == (YES in either)


def test_breaking_glass_opens_for_administrators_alone() -> None:
    broken = Standing(theirs=False, case=case(None), broke_glass=True)
    answers = {role: answer_on(role, "files.download", broken) for role in ROLES}
    assert answers == {"admin": YES, "analyst": NOT_FOUND, "uploader": NOT_FOUND, "auditor": FORBIDDEN}
    for action in set(Action) - set(OUTSIDE) - set(policy.ACCOUNTS) - {Action.FILE_DOWNLOAD}:
        plain = Standing(theirs=False, case=case(None))
        assert answer_on("admin", action, broken) == answer_on("admin", action, plain)


def test_who_was_granted_a_file_knows_of_it_and_cannot_pass_it_on() -> None:
    for place in (None, case(None)):
        granted = Standing(theirs=False, case=place, granted=True)
        for action in {*ABOUT_FILES, "links.give_files"} - {"files.read", "files.download", "files.grants.decline"}:
            assert answer_on("analyst", action, granted) is FORBIDDEN
            assert answer_on("uploader", action, granted) is NOT_FOUND
        assert answer_on("analyst", "files.grants.decline", granted) is YES
        assert answer_on("uploader", "files.grants.decline", granted) is NOT_FOUND


@pytest.mark.parametrize("action", sorted(set(policy.STANDINGS)))
@pytest.mark.parametrize("status", CaseStatus)
def test_a_closed_case_is_read_only_and_an_archived_one_keeps_even_its_members(status: CaseStatus, action: str) -> None:
    taken = {
        "closed": READING | LEAVING | {"cases.members.set", "files.grants.set"},
        "archived": READING | LEAVING,
    }.get(status)
    for role in ("analyst", "admin"):
        live = answer_on(role, action, Standing(theirs=True, case=case("lead")))
        now = answer_on(role, action, Standing(theirs=True, case=case("lead", status)))
        if live is YES:
            assert now is (YES if taken is None or action in taken else READ_ONLY)
        else:
            assert now is live  # who may not do it at all is told nothing of the case's state
    stranger = answer_on("analyst", action, Standing(theirs=True, case=case(None, status)))
    assert stranger is NOT_FOUND


def test_moves_lead_only_where_they_should() -> None:
    ways = {(str(a), str(b)) for a, after in policy.MOVES.items() for b in after}
    assert ways == {
        ("open", "in_progress"),
        ("open", "on_hold"),
        ("open", "closed"),
        ("in_progress", "on_hold"),
        ("in_progress", "closed"),
        ("on_hold", "in_progress"),
        ("on_hold", "closed"),
        ("closed", "open"),
        ("closed", "archived"),
        ("archived", "open"),
    }
    assert set(policy.MOVES) == set(policy.TAKES) == set(CaseStatus)


@pytest.mark.parametrize(
    ("tlp", "allowed"),
    [("CLEAR", True), ("GREEN", True), ("AMBER", True), ("AMBER+STRICT", False), ("RED", False)],
)
def test_what_may_not_leave_the_organisation_gets_no_links(tlp: str, allowed: bool) -> None:
    assert policy.links_allowed(Tlp(tlp)) is allowed


def test_every_colour_was_thought_of() -> None:
    assert [str(tlp) for tlp in Tlp] == ["CLEAR", "GREEN", "AMBER", "AMBER+STRICT", "RED"]


@pytest.mark.parametrize(
    ("role", "may_be"),
    [
        ("admin", {"lead", "contributor", "reader", "uploader"}),
        ("analyst", {"lead", "contributor", "reader", "uploader"}),
        ("uploader", {"uploader"}),
        ("auditor", set()),
    ],
)
def test_who_can_be_what_in_a_case(role: str, may_be: set[str]) -> None:
    assert {str(member) for member in CaseRole if policy.may_be(Role(role), member)} == may_be


def test_a_listing_shows_what_a_reading_would() -> None:
    assert {role: sees_every_case(principal(role)) for role in ROLES} == {
        "admin": True,
        "analyst": False,
        "uploader": False,
        "auditor": True,
    }
    for role in ROLES:
        seen = sight_of(principal(role))
        for membership in CaseRole:
            read = answer_on(role, "files.read", Standing(theirs=False, case=case(membership)))
            assert (read is YES) == (seen.user_id is None or membership in seen.roles)


def test_the_tables_leave_out_no_role_no_standing_and_no_action() -> None:
    assert {str(action) for action in policy.ROLES} == set(WITHOUT_OBJECT) == {*OUTSIDE, *BOTH}
    assert set(policy.ROLES) | set(policy.STANDINGS) | set(policy.ACCOUNTS) == set(Action)
    assert set(IN_A_CASE) == {str(action) for action in policy.STANDINGS}
    assert set(policy.MEMBERSHIPS) == set(Role)
    assert all(set(worth) == set(CaseRole) for worth in policy.MEMBERSHIPS.values())
    named = {stand for stands in policy.STANDINGS.values() for stand in stands}
    assert named == set(Stand) - {Stand.NOBODY}


def test_whoever_may_do_anything_to_a_file_may_see_it() -> None:
    for action in ABOUT_FILES:
        assert policy.STANDINGS[Action(action)] - {Stand.BREAK_GLASS} <= policy.STANDINGS[Action.FILE_READ]


def test_who_never_gets_content() -> None:
    reads = policy.STANDINGS[Action.FILE_DOWNLOAD]
    assert reads.isdisjoint({Stand.ADMIN, Stand.AUDITOR, Stand.UPLOADER, Stand.NOBODY})


CASE, ANOTHER = UUID(int=7), UUID(int=8)


@pytest.mark.parametrize("origin", [None, *Tlp])
@pytest.mark.parametrize("target", [None, *Tlp])
def test_a_move_takes_no_colour_off_that_is_enforced(origin: Tlp | None, target: Tlp | None) -> None:
    order = {Tlp.AMBER_STRICT: 1, Tlp.RED: 2}
    cases = [None if tlp is None else replace(case("lead"), tlp=tlp) for tlp in (target, origin)]
    there, here = (Standing(theirs=True, case=one) for one in cases)
    if order.get(target or Tlp.CLEAR, 0) >= order.get(origin or Tlp.CLEAR, 0):
        colours.require_colour(here, there)
    else:
        with pytest.raises(colours.TlpForbidsMove):
            colours.require_colour(here, there)


def test_a_credential_for_one_case_finds_nothing_outside_of_it() -> None:
    confined = replace(principal("analyst"), case_id=CASE)
    within = Standing(theirs=True, case=replace(case("lead"), id=CASE))
    for action in map(Action, ABOUT_FILES[:5]):
        policy.require_on(confined, action, within)
        for outside in (Standing(theirs=True), replace(within, case=replace(case("lead"), id=ANOTHER))):
            with pytest.raises(NotFound):
                policy.require_on(confined, action, outside)
    with pytest.raises(Forbidden):
        policy.require(confined, Action.CASE_CREATE)
    assert sight_of(confined).case_id == CASE


def test_glass_is_broken_by_a_person_who_is_signed_in() -> None:
    broken = Standing(theirs=False, case=case(None), broke_glass=True)
    policy.require_on(principal("admin"), Action.FILE_DOWNLOAD, broken)
    with pytest.raises(Forbidden):
        policy.require_on(replace(principal("admin"), kind=CredentialKind.TOKEN), Action.FILE_DOWNLOAD, broken)


READING |= {"files.grants.list", "cases.read", "cases.members.list", "cases.break_glass.list", "cases.links.list"}
LEAVING = {"cases.status", "cases.members.remove", "cases.members.leave", "files.grants.revoke", "cases.links.revoke"}


def test_what_is_anothers_asks_for_a_session_that_runs_the_portal() -> None:
    narrow = Principal("x", Role.ADMIN, ME, SESSION, permissions=frozenset({Permission.ACCOUNT}))
    for action in policy.ACCOUNTS:
        policy.require_of(narrow, action, narrow.user_id)
        if action is not Action.GRANTS_OF_ACCOUNT:
            with pytest.raises(InsufficientScope):
                policy.require_of(narrow, action, UUID(int=9))
