"""A second administrator's approval: by somebody else, in time, of exactly what was asked for, and once."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from portal.backends.keys.local import LocalKeyProvider
from portal.core.errors import Forbidden, NotFound, NotSignedIn, PortalError
from portal.core.ids import new_id
from portal.core.principal import Principal, Role
from portal.features.admin.keys import KeyNeeded
from portal.features.authz.relation import CaseStatus
from portal.features.cases.catalog import CaseChanges
from portal.features.cases.views import CaseView
from portal.features.custody.approvals import LASTS, ApprovalOutdated, ApprovalOver, OwnApproval
from portal.features.custody.views import Act, Approval, ApprovalStatus
from portal.keyring.keyring import Keyring
from tests.features.files.conftest import ORIGIN, later

from .conftest import Vault

__all__ = ["later"]
CLI = "system:cli/root"


@pytest.fixture
async def strict(vault: Vault) -> Vault:
    """A vault where both acts need approval."""
    return replace(vault, custody=replace(vault.custody, approved=frozenset(Act)))


@pytest.fixture
async def second(vault: Vault) -> Principal:
    return await vault.house.principal(Role.ADMIN)


async def ask(vault: Vault, case: CaseView, by: Principal | str | None = None) -> Approval:
    asked = await vault.custody.shred(by or vault.admin, case.id, case.number, ORIGIN)
    assert isinstance(asked, Approval)
    return asked


async def is_whole(vault: Vault) -> bool:
    """Whether no case was shredded."""
    return {row["status"] for row in await vault.house.rows("cases")}.isdisjoint({"shredded"})


async def statuses(vault: Vault) -> list[ApprovalStatus]:
    return [one.status for one in (await vault.custody.approvals(vault.admin, None, 10)).items]


async def test_a_case_is_shredded_once_another_administrator_approved(strict: Vault, second: Principal) -> None:
    case = await strict.case()
    asked = await ask(strict, case)
    assert await is_whole(strict)
    given = await strict.custody.give(second, asked.id, ORIGIN)
    assert not await is_whole(strict)
    await strict.work()
    said = await strict.receipt(case)
    assert (said["requested_by"], said["approved_by"]) == (strict.admin.actor, second.actor)
    assert said["requested_at"] < said["approved_at"] <= said["keys_destroyed_at"]
    assert (given.status, given.decided_by) == (ApprovalStatus.GIVEN, second.actor)
    steps = await strict.house.record("approval.requested", "approval.given", "case.shred_begun")
    assert [step["actor"] for step in steps] == [strict.admin.actor, second.actor, second.actor]


async def test_nobody_approves_their_own_in_any_session(strict: Vault) -> None:
    asked = await ask(strict, await strict.case())
    for credential in (strict.admin.credential_id, new_id()):
        with pytest.raises((OwnApproval, NotSignedIn)):
            await strict.custody.give(replace(strict.admin, credential_id=credential), asked.id, ORIGIN)
    with pytest.raises(OwnApproval):
        await strict.custody.give(strict.admin, asked.id, ORIGIN)
    assert await is_whole(strict)
    assert await statuses(strict) == [ApprovalStatus.PENDING]


@pytest.mark.parametrize("role", set(Role) - {Role.ADMIN})
async def test_other_roles_neither_approve_nor_refuse_nor_see(strict: Vault, role: Role) -> None:
    asked, other = await ask(strict, await strict.case()), await strict.house.principal(role)
    for attempt in (
        lambda: strict.custody.give(other, asked.id, ORIGIN),
        lambda: strict.custody.refuse(other, asked.id, ORIGIN),
        lambda: strict.custody.approvals(other, None, 10),
    ):
        with pytest.raises(Forbidden):
            await attempt()
    assert await is_whole(strict)


async def test_the_command_line_asks_and_any_administrator_approves(strict: Vault, second: Principal) -> None:
    asked = await ask(strict, await strict.case(), CLI)
    assert (asked.requested_by, asked.requester_id) == (CLI, None)
    await strict.custody.give(second, asked.id, ORIGIN)
    assert not await is_whole(strict)


async def test_an_approver_who_lost_the_role_meanwhile_does_not_count(strict: Vault, second: Principal) -> None:
    asked = await ask(strict, await strict.case())
    await strict.house.execute("UPDATE users SET role = 'analyst' WHERE id = :id", id=_id(strict, second))
    with pytest.raises(PortalError):
        await strict.custody.give(second, asked.id, ORIGIN)
    assert await is_whole(strict)


@pytest.mark.parametrize("change", ["role = 'analyst'", "disabled_at = created_at"])
async def test_a_requester_who_may_not_ask_any_more_does_not_count(
    strict: Vault, second: Principal, change: str
) -> None:
    asked = await ask(strict, await strict.case())
    statement = f"UPDATE users SET {change} WHERE id = :id"  # noqa: S608  # of the test's own words
    await strict.house.execute(statement, id=_id(strict, strict.admin))
    with pytest.raises(ApprovalOver):
        await strict.custody.give(second, asked.id, ORIGIN)
    assert await is_whole(strict)


async def test_a_request_expires(strict: Vault, second: Principal, later: Callable[[timedelta], None]) -> None:
    case = await strict.case()
    asked = await ask(strict, case)
    later(LASTS)
    assert await statuses(strict) == [ApprovalStatus.EXPIRED]
    with pytest.raises(ApprovalOver):
        await strict.custody.give(second, asked.id, ORIGIN)
    assert (await ask(strict, case, CLI)).id != asked.id
    assert await is_whole(strict)


async def test_a_case_that_changed_since_needs_another_approval(strict: Vault, second: Principal) -> None:
    case = await strict.case()
    asked = await ask(strict, case)
    for status in (CaseStatus.OPEN, CaseStatus.CLOSED):
        case = await strict.house.cases.register.update(strict.lead, case.id, None, CaseChanges(status=status), ORIGIN)
    with pytest.raises(ApprovalOutdated):
        await strict.custody.give(second, asked.id, ORIGIN)
    assert await is_whole(strict)
    anew = await ask(strict, case)
    assert await statuses(strict) == [ApprovalStatus.PENDING, ApprovalStatus.EXPIRED]
    await strict.custody.give(second, anew.id, ORIGIN)
    assert not await is_whole(strict)


async def test_the_same_request_twice_is_one(strict: Vault) -> None:
    case = await strict.case()
    asked = await asyncio.gather(*(ask(strict, case, by) for by in (strict.admin, CLI, strict.admin)))
    assert len({one.id for one in asked}) == 1


async def test_of_decisions_at_once_one_counts(strict: Vault, second: Principal) -> None:
    asked, third = await ask(strict, await strict.case()), await strict.house.principal(Role.ADMIN)
    done = await asyncio.gather(
        strict.custody.give(second, asked.id, ORIGIN),
        strict.custody.give(third, asked.id, ORIGIN),
        strict.custody.refuse(third, asked.id, ORIGIN),
        return_exceptions=True,
    )
    assert sum(isinstance(one, Approval) for one in done) == 1
    assert all(isinstance(one, Approval | ApprovalOver) for one in done)
    assert len(await strict.house.record("approval.given", "approval.refused")) == 1


async def test_a_refused_request_is_over_and_the_requester_may_take_it_back(strict: Vault, second: Principal) -> None:
    case = await strict.case()
    for by in (second, strict.admin, CLI):
        asked = await ask(strict, case)
        refused = await strict.custody.refuse(by, asked.id, ORIGIN)
        assert refused.status is ApprovalStatus.REFUSED
        with pytest.raises(ApprovalOver):
            await strict.custody.give(second, asked.id, ORIGIN)
    assert await is_whole(strict)


async def test_an_unknown_request_is_not_found(strict: Vault, second: Principal) -> None:
    with pytest.raises(NotFound):
        await strict.custody.give(second, new_id(), ORIGIN)
    with pytest.raises(NotFound):
        await strict.custody.refuse(second, new_id(), ORIGIN)


async def test_a_master_key_is_retired_with_approval(strict: Vault, second: Principal) -> None:
    old, new = LocalKeyProvider.random(), LocalKeyProvider.random()
    keyring = Keyring(strict.house.database, [new, old])
    custody = replace(strict.custody, keys=replace(strict.custody.keys, keyring=keyring))
    with pytest.raises(KeyNeeded):
        await custody.retire(strict.admin, new.key_id, ORIGIN)
    asked = await custody.retire(strict.admin, old.key_id, ORIGIN)
    assert asked is not None
    assert asked.status is ApprovalStatus.PENDING
    assert await strict.house.record("key.retired") == []
    with pytest.raises(OwnApproval):
        await custody.give(strict.admin, asked.id, ORIGIN)
    await custody.give(second, asked.id, ORIGIN)
    (retired,) = await strict.house.record("key.retired")
    assert (retired["subject"], retired["actor"]) == (old.key_id, second.actor)
    told = await custody.retire(CLI, old.key_id, ORIGIN)
    assert told is not None
    assert told.decided_by == second.actor


async def test_a_master_key_that_is_needed_again_is_not_approved(strict: Vault, second: Principal) -> None:
    old, new = LocalKeyProvider.random(), LocalKeyProvider.random()
    keyring = Keyring(strict.house.database, [new, old])
    custody = replace(strict.custody, keys=replace(strict.custody.keys, keyring=keyring))
    asked = await custody.retire(strict.admin, old.key_id, ORIGIN)
    assert asked is not None
    await Keyring(strict.house.database, [old]).active("none")
    with pytest.raises(KeyNeeded):
        await custody.give(second, asked.id, ORIGIN)
    assert await statuses(strict) == [ApprovalStatus.PENDING]


def _id(vault: Vault, principal: Principal) -> str:
    """An account's id as a row has it."""
    return principal.user_id.hex if vault.house.database.engine.dialect.name == "sqlite" else str(principal.user_id)
