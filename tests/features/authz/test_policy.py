"""The policy, written out: who may do what to whose files, and what a refusal gives away."""

from collections.abc import Mapping, Sequence
from uuid import UUID

import pytest

from portal.core.errors import Forbidden, NotFound, PortalError
from portal.core.principal import Action, Principal, Role
from portal.features.authz import policy

ME, SOMEONE, SESSION = UUID(int=1), UUID(int=2), UUID(int=3)
YES, FORBIDDEN, NOT_FOUND = None, Forbidden, NotFound

# action: for each role (admin, analyst, uploader, auditor)
ON_OWN = {
    "files.create": (YES, YES, YES, FORBIDDEN),
    "files.list": (YES, YES, YES, YES),
    "files.read": (YES, YES, YES, YES),
    "files.download": (YES, YES, YES, FORBIDDEN),
    "files.update": (YES, YES, YES, FORBIDDEN),
    "files.delete": (YES, YES, YES, FORBIDDEN),
}
ON_OTHERS = {
    "files.create": (FORBIDDEN, NOT_FOUND, NOT_FOUND, FORBIDDEN),
    "files.list": (YES, NOT_FOUND, NOT_FOUND, YES),
    "files.read": (YES, NOT_FOUND, NOT_FOUND, YES),
    "files.download": (FORBIDDEN, NOT_FOUND, NOT_FOUND, FORBIDDEN),
    "files.update": (YES, NOT_FOUND, NOT_FOUND, FORBIDDEN),
    "files.delete": (YES, NOT_FOUND, NOT_FOUND, FORBIDDEN),
}
ON_PORTAL = {"users.manage": (YES, FORBIDDEN, FORBIDDEN, FORBIDDEN)}
WITHOUT_OBJECT = {**ON_OWN, **ON_PORTAL}
SEES_EVERYBODYS = {"admin": True, "analyst": False, "uploader": False, "auditor": True}
ROLES = ("admin", "analyst", "uploader", "auditor")

Answer = type[PortalError] | None


def cells(table: Mapping[str, Sequence[Answer]]) -> list[tuple[str, str, Answer]]:
    return [(role, action, answer) for action, row in table.items() for role, answer in zip(ROLES, row, strict=True)]


def principal(role: str) -> Principal:
    return Principal(f"user:{ME}", Role(role), ME, SESSION)


def answer_on(role: str, action: str, owner_id: UUID) -> Answer:
    try:
        policy.require_on(principal(role), Action(action), owner_id=owner_id)
    except PortalError as refused:
        return type(refused)
    return None


@pytest.mark.parametrize(("role", "action", "answer"), cells(ON_OWN))
def test_own_files(role: str, action: str, answer: Answer) -> None:
    assert answer_on(role, action, ME) == answer


@pytest.mark.parametrize(("role", "action", "answer"), cells(ON_OTHERS))
def test_files_of_others(role: str, action: str, answer: Answer) -> None:
    assert answer_on(role, action, SOMEONE) == answer


@pytest.mark.parametrize(("role", "action", "answer"), cells(WITHOUT_OBJECT))
def test_before_there_is_an_object(role: str, action: str, answer: Answer) -> None:
    if answer is None:
        policy.require(principal(role), Action(action))
    else:
        with pytest.raises(answer):
            policy.require(principal(role), Action(action))


@pytest.mark.parametrize("role", ROLES)
def test_a_listing_shows_everybodys_files_or_ones_own(role: str) -> None:
    assert policy.visible_owner(principal(role)) == (None if SEES_EVERYBODYS[role] else ME)


def test_the_tables_leave_out_no_role_and_no_action() -> None:
    assert {role.value for role in Role} == set(ROLES) == set(SEES_EVERYBODYS)
    assert {action.value for action in Action} == set(ON_OWN) | set(ON_PORTAL)
    assert set(ON_OWN) == set(ON_OTHERS)
    assert set(policy.OWN) == set(policy.OTHERS) == set(Action) - set(policy.PORTAL)


def test_nobody_may_do_more_to_others_files_than_to_their_own() -> None:
    for action in policy.OWN:
        assert policy.OTHERS[action] <= policy.OWN[action]


def test_nobody_downloads_what_is_not_theirs() -> None:
    assert policy.OTHERS[Action.FILE_DOWNLOAD] == frozenset()


def test_whoever_may_change_a_file_may_see_it() -> None:
    for table in (policy.OWN, policy.OTHERS):
        for action in set(policy.OWN) - {Action.FILE_CREATE, Action.FILE_LIST}:
            assert table[action] <= table[Action.FILE_READ]
