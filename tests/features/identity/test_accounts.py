"""Running the accounts on both databases: who may, what ends with a change, and who is always left."""

import asyncio
from datetime import timedelta

import pytest

from portal.core.errors import Conflict, Forbidden, NotFound, NotSignedIn, PreconditionFailed
from portal.core.ids import new_id
from portal.core.principal import NOWHERE, Origin, Principal, Role
from portal.db.unit_of_work import Database
from portal.features.identity.accounts import Accounts, LastAdministrator, UserChanges
from portal.features.identity.grant_errors import InvalidGrant
from portal.features.identity.passwords import PasswordHasher
from portal.features.identity.registration import Registration
from portal.features.identity.repository import User, UserFilters
from portal.features.identity.revocation import Revocations
from portal.features.identity.sessions import Sessions
from portal.features.identity.users import Users, UserTaken
from tests.reliability.amounts import amount

from .stage import EVERYTHING, PASSWORD, Clock, at_once, lives, make, record, signed_in

CLI = "system:cli/test"
HERE = Origin("request-1", "192.0.2.7")
DEMOTED, DISABLED = UserChanges(role=Role.AUDITOR), UserChanges(disabled=True)


@pytest.fixture
async def root(users: Users, sessions: Sessions) -> Principal:
    """An administrator, signed in."""
    await make(users, "root", Role.ADMIN)
    return await signed_in(sessions, "root")


@pytest.fixture
async def ada(users: Users) -> User:
    return await make(users, "Ada")


async def test_an_account_is_made_without_a_password_and_its_owner_sets_one(
    root: Principal, accounts: Accounts, sessions: Sessions, database: Database, hasher: PasswordHasher
) -> None:
    made, secret = await accounts.create(root, "Eve", Role.UPLOADER, HERE)
    assert (made.role, made.password_hash) == (Role.UPLOADER, "")
    for guess in ("", PASSWORD):
        with pytest.raises(InvalidGrant):
            await sessions.sign_in("Eve", guess, NOWHERE)
    await Registration(database, hasher, "closed", Revocations()).set_password(secret.secret, PASSWORD, HERE)
    assert (await signed_in(sessions, "Eve")).role is Role.UPLOADER
    (event,) = [event for event in await record(database, "user.created") if event.subject == str(made.id)]
    assert (event.actor, event.origin) == (root.actor, HERE)
    assert secret.secret not in repr(secret)


async def test_a_name_is_taken_once(root: Principal, accounts: Accounts, ada: User) -> None:
    assert ada.name == "Ada"
    with pytest.raises(UserTaken):
        await accounts.create(root, "ADA", Role.ADMIN, HERE)


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.ADMIN])
async def test_nobody_else_runs_accounts(
    users: Users, sessions: Sessions, accounts: Accounts, database: Database, role: Role
) -> None:
    victim, me = await make(users, "victim", Role.ADMIN), await make(users, "me", role)
    principal = await signed_in(sessions, "me")
    for attempt in (
        accounts.create(principal, "new", Role.ADMIN, HERE),
        accounts.page(principal, UserFilters(), None, 10),
        accounts.get(principal, me.id),
        accounts.change(principal, me.id, None, UserChanges(role=Role.ADMIN), HERE),
        accounts.change(principal, victim.id, None, DISABLED, HERE),
        accounts.reset_password(principal, victim.id, HERE),
        accounts.reset_totp(principal, victim.id, HERE),
        accounts.end_sessions(principal, victim.id, HERE),
        accounts.invite(principal, Role.ADMIN, timedelta(hours=1), HERE),
        accounts.invitations(principal),
        accounts.revoke_invitation(principal, new_id(), HERE),
    ):
        with pytest.raises(Forbidden):
            await attempt
    assert await users.get(victim.id) == victim
    assert await users.get(me.id) == me
    assert await record(database, "user.updated", "user.invited", "user.password_reset") == []


async def test_an_administrator_whose_session_is_over_runs_nothing(
    root: Principal, accounts: Accounts, sessions: Sessions, ada: User
) -> None:
    await sessions.sign_out(root, NOWHERE)
    with pytest.raises(NotSignedIn):
        await accounts.change(root, ada.id, None, DISABLED, HERE)


async def test_what_is_handed_out_while_everything_ends_ends_as_well(
    accounts: Accounts, sessions: Sessions, users: Users
) -> None:
    for turn in range(10):
        await make(users, f"thief{turn}", Role.ADMIN)
        thief = await signed_in(sessions, f"thief{turn}")
        handed_out = [accounts.invite(thief, Role.ADMIN, timedelta(hours=1), HERE) for _ in range(4)]
        ending = accounts.end_everything(CLI, thief.user_id, HERE)
        told = await asyncio.gather(*handed_out[:2], ending, *handed_out[2:], return_exceptions=True)
        assert {type(answer) for answer in (*told[:2], *told[3:])} <= {tuple, NotSignedIn}
        assert await accounts.invitations(CLI) == []


async def test_what_is_not_there_is_not_found(root: Principal, accounts: Accounts) -> None:
    for attempt in (
        accounts.get(root, new_id()),
        accounts.change(root, new_id(), None, DISABLED, HERE),
        accounts.reset_password(root, new_id(), HERE),
        accounts.reset_totp(root, new_id(), HERE),
        accounts.end_sessions(root, new_id(), HERE),
        accounts.revoke_invitation(root, new_id(), HERE),
    ):
        with pytest.raises(NotFound):
            await attempt


@pytest.mark.parametrize("changes", [DEMOTED, DISABLED])
async def test_a_change_ends_every_session_and_is_on_record_with_before_and_after(
    root: Principal, accounts: Accounts, sessions: Sessions, database: Database, ada: User, changes: UserChanges
) -> None:
    theirs = [await signed_in(sessions, "Ada") for _ in range(2)]
    changed = await accounts.change(root, ada.id, ada.version, changes, HERE)
    assert (changed.version, changed.epoch) == (ada.version + 1, ada.epoch + 1)
    assert [await lives(sessions, database, each) for each in theirs] == [False, False]
    assert await lives(sessions, database, root)
    (event,) = await record(database, "user.updated")
    assert (event.actor, event.subject, event.origin) == (root.actor, str(ada.id), HERE)
    assert event.details == {
        "role_before": "analyst",
        "role_after": changed.role.value,
        "disabled_before": False,
        "disabled_after": changed.disabled_at is not None,
        "api_tokens": 0,
        "invitations": 0,
    }


async def test_who_is_disabled_cannot_sign_in_until_enabled(
    root: Principal, accounts: Accounts, sessions: Sessions, ada: User
) -> None:
    await accounts.change(root, ada.id, None, DISABLED, HERE)
    with pytest.raises(InvalidGrant):
        await signed_in(sessions, "Ada")
    await accounts.change(root, ada.id, None, UserChanges(disabled=False), HERE)
    assert (await signed_in(sessions, "Ada")).user_id == ada.id


async def test_a_change_of_nothing_ends_nothing(
    root: Principal, accounts: Accounts, sessions: Sessions, database: Database, ada: User
) -> None:
    theirs = await signed_in(sessions, "Ada")
    for changes in (UserChanges(), UserChanges(role=Role.ANALYST, disabled=False)):
        assert await accounts.change(root, ada.id, None, changes, HERE) == ada
    assert await lives(sessions, database, theirs)
    assert await record(database, "user.updated") == []


async def test_a_change_of_an_older_version_is_refused(root: Principal, accounts: Accounts, ada: User) -> None:
    await accounts.change(root, ada.id, 1, DEMOTED, HERE)
    for version in (0, 1, 3):
        with pytest.raises(PreconditionFailed):
            await accounts.change(root, ada.id, version, DISABLED, HERE)
    assert (await accounts.get(root, ada.id)).disabled_at is None


async def test_the_last_administrator_stays_whoever_asks(
    root: Principal, accounts: Accounts, users: Users, ada: User
) -> None:
    disabled = await make(users, "gone", Role.ADMIN)
    await accounts.change(root, disabled.id, None, DISABLED, HERE)
    for by in (root, CLI):
        for changes in (DEMOTED, DISABLED, UserChanges(Role.UPLOADER, disabled=True)):
            with pytest.raises(LastAdministrator):
                await accounts.change(by, root.user_id, None, changes, HERE)
    await accounts.change(root, ada.id, None, UserChanges(role=Role.ADMIN), HERE)
    assert (await accounts.change(root, root.user_id, None, DEMOTED, HERE)).role is Role.AUDITOR


async def test_an_administrator_without_a_password_is_none_to_leave_the_portal_to(
    root: Principal, accounts: Accounts, users: Users, ada: User
) -> None:
    new, _ = await accounts.create(root, "new", Role.ADMIN, HERE)  # the secret would die with root's rights
    with pytest.raises(LastAdministrator):
        await accounts.change(root, root.user_id, None, DEMOTED, HERE)
    await accounts.change(root, new.id, None, DISABLED, HERE)
    await accounts.change(root, ada.id, None, UserChanges(role=Role.ADMIN), HERE)
    await accounts.reset_password(root, ada.id, HERE)
    with pytest.raises(LastAdministrator):
        await accounts.change(root, root.user_id, None, DISABLED, HERE)
    await make(users, "able", Role.ADMIN)
    assert (await accounts.change(root, root.user_id, None, DEMOTED, HERE)).role is Role.AUDITOR


@pytest.mark.race
async def test_of_administrators_who_end_each_other_at_once_one_is_always_left(
    accounts: Accounts, users: Users, sessions: Sessions, database: Database
) -> None:
    one, two = [await make(users, name, Role.ADMIN) for name in ("one", "two")]
    for turn in range(amount("RACES")):
        changes = (DEMOTED, DISABLED)[turn % 2]
        principals = [await signed_in(sessions, name) for name in ("one", "two")]
        attempts = [
            accounts.change(principals[0], two.id, None, changes, NOWHERE),
            accounts.change(principals[1], one.id, None, changes, NOWHERE),
        ]
        done, refused = await at_once(attempts[:: -1 if turn % 3 else 1])
        assert len(done) == len(refused) == 1, refused
        left = [await lives(sessions, database, each) for each in principals]
        assert sorted(left) == [False, True]
        await accounts.change(CLI, done[0].id, None, UserChanges(Role.ADMIN, disabled=False), NOWHERE)


@pytest.mark.race
async def test_of_two_who_leave_at_once_one_stays(accounts: Accounts, users: Users) -> None:
    both = [await make(users, name, Role.ADMIN) for name in ("one", "two")]
    for _ in range(amount("RACES")):
        done, refused = await at_once([accounts.change(CLI, user.id, None, DISABLED, NOWHERE) for user in both])
        assert [type(error) for error in refused] == [LastAdministrator]
        await accounts.change(CLI, done[0].id, None, UserChanges(disabled=False), NOWHERE)


async def test_a_reset_ends_the_password_and_every_session_and_gives_a_secret_that_is_good_once(
    root: Principal, accounts: Accounts, sessions: Sessions, database: Database, hasher: PasswordHasher, ada: User
) -> None:
    theirs = await signed_in(sessions, "Ada")
    older = await accounts.reset_password(root, ada.id, HERE)
    secret = await accounts.reset_password(root, ada.id, HERE)
    assert not await lives(sessions, database, theirs)
    with pytest.raises(InvalidGrant):
        await signed_in(sessions, "Ada")
    registration = Registration(database, hasher, "closed", Revocations())
    with pytest.raises(Forbidden):
        await registration.set_password(older.secret, "another horse battery", HERE)
    await registration.set_password(secret.secret, "another horse battery", HERE)
    assert (await sessions.sign_in("Ada", "another horse battery", NOWHERE)).scope == EVERYTHING
    with pytest.raises(Forbidden):
        await registration.set_password(secret.secret, PASSWORD, HERE)
    assert [event.actor for event in await record(database, "user.password_reset")] == [root.actor] * 2


async def test_an_end_to_all_sessions_leaves_the_password(
    root: Principal, accounts: Accounts, sessions: Sessions, database: Database, ada: User
) -> None:
    theirs = [await signed_in(sessions, "Ada") for _ in range(3)]
    await accounts.end_sessions(root, ada.id, HERE)
    assert not any([await lives(sessions, database, each) for each in theirs])
    assert await lives(sessions, database, await signed_in(sessions, "Ada"))
    (event,) = await record(database, "user.sessions_revoked")
    assert (event.actor, event.subject) == (root.actor, str(ada.id))


async def test_pages_show_every_account_once_newest_first(root: Principal, accounts: Accounts, users: Users) -> None:
    made = [await make(users, f"user-{number}", Role.UPLOADER) for number in range(5)]
    await accounts.change(root, made[0].id, None, DISABLED, HERE)
    seen, after = [], None
    while True:
        page = await accounts.page(root, UserFilters(), after, 2)
        seen += page.items
        if (after := page.next_after) is None:
            break
    assert [user.name for user in seen] == [*(f"user-{number}" for number in range(4, -1, -1)), "root"]
    for filters, count in (
        (UserFilters(role=Role.ADMIN), 1),
        (UserFilters(disabled=True), 1),
        (UserFilters(role=Role.UPLOADER, disabled=False), 4),
    ):
        assert len((await accounts.page(root, filters, None, 10)).items) == count


async def test_of_two_changes_of_one_version_at_once_one_succeeds(
    root: Principal, accounts: Accounts, users: Users, ada: User
) -> None:
    for _ in range(amount("RACES")):
        version = (await users.get(ada.id)).version
        roles = [Role.UPLOADER, Role.AUDITOR] if version % 2 else [Role.ANALYST, Role.ADMIN]
        attempts = [accounts.change(root, ada.id, version, UserChanges(role=role), HERE) for role in roles]
        done, refused = await at_once(attempts)
        assert [type(error) for error in refused] == [PreconditionFailed]
        assert done[0].version == version + 1


async def test_a_sweep_forgets_what_has_no_effect(
    root: Principal, accounts: Accounts, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    hands = Clock(monkeypatch)
    await accounts.invite(CLI, Role.ANALYST, timedelta(hours=1), HERE)
    lasting, _ = await accounts.invite(CLI, Role.ANALYST, timedelta(days=300), HERE)
    with pytest.raises(InvalidGrant):
        await sessions.sign_in("root", "wrong password", HERE)
    await accounts.sweep()
    assert len(await accounts.invitations(CLI)) == 2
    hands.move(days=91)
    await accounts.sweep()
    assert [each.id for each in await accounts.invitations(CLI)] == [lasting.id]
    assert root.role is Role.ADMIN


def test_a_conflict_is_what_the_last_administrator_meets() -> None:
    assert issubclass(LastAdministrator, Conflict)
