"""Registering and one-time secrets on both databases: who may come, as what, and that a secret is good exactly once."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from portal.core.errors import Forbidden, PortalError, Unprocessable
from portal.core.principal import NOWHERE, Origin, Role
from portal.db.unit_of_work import Database
from portal.features.identity.accounts import Accounts, UserChanges
from portal.features.identity.grant_errors import InvalidGrant
from portal.features.identity.models import InvitationRow, UserRow
from portal.features.identity.passwords import PasswordGuessable, PasswordHasher
from portal.features.identity.registration import InvitationRefused, Registration, RegistrationClosed
from portal.features.identity.revocation import Revocations
from portal.features.identity.sessions import Sessions
from portal.features.identity.users import Users, UserTaken

from .counting import Context
from .stage import PASSWORD, Clock, at_once, lives, make, record, signed_in

CLI = "system:cli/test"
HERE = Origin("request-1", "192.0.2.7")
HOUR = timedelta(hours=1)
NO_SECRETS = ["", "pinv_", "pinv_" + "A" * 43, "x" * 200, "\0", "\ud800", "é", "' OR 1=1 --"]
rows: Any = InvitationRow


@pytest.fixture
def closed(database: Database, hasher: PasswordHasher) -> Registration:
    return Registration(database, hasher, "closed", Revocations())


@pytest.fixture
def invited(database: Database, hasher: PasswordHasher) -> Registration:
    return Registration(database, hasher, "invite", Revocations())


@pytest.fixture
def anybody(database: Database, hasher: PasswordHasher) -> Registration:
    return Registration(database, hasher, "open", Revocations())


@pytest.fixture
async def context(hasher: PasswordHasher) -> Context:
    counting = Context(hasher._context)
    hasher._context = counting
    return counting


async def count(database: Database, table: Any = UserRow) -> int:
    async with database.read() as connection:
        return int((await connection.execute(select(func.count()).select_from(table))).scalar_one())


async def secret_for(accounts: Accounts, role: Role = Role.ANALYST, by: Any = CLI) -> str:
    _, made = await accounts.invite(by, role, HOUR, HERE)
    return made.secret


async def test_a_closed_portal_takes_nobody_not_even_the_invited_and_does_no_work(
    closed: Registration, accounts: Accounts, database: Database, context: Context
) -> None:
    for secret in (None, await secret_for(accounts), "pinv_x"):
        with pytest.raises(RegistrationClosed):
            await closed.register("eve", PASSWORD, secret, HERE)
    assert await count(database) == 0
    assert context.calls == {}


async def test_an_open_portal_gives_strangers_the_least_role(
    anybody: Registration, sessions: Sessions, database: Database
) -> None:
    made = await anybody.register("eve", PASSWORD, None, HERE)
    assert made.role is Role.UPLOADER
    assert (await signed_in(sessions, "eve")).role is Role.UPLOADER
    (event,) = await record(database, "user.created")
    assert (event.actor, event.subject, event.origin) == ("nobody", str(made.id), HERE)
    assert PASSWORD not in event.canonical()


@pytest.mark.parametrize("role", list(Role))
async def test_an_invitation_gives_its_role(invited: Registration, accounts: Accounts, role: Role) -> None:
    assert (await invited.register("eve", PASSWORD, await secret_for(accounts, role), HERE)).role is role


async def test_an_invitation_gives_its_role_in_an_open_portal_too(anybody: Registration, accounts: Accounts) -> None:
    secret = await secret_for(accounts, Role.AUDITOR)
    assert (await anybody.register("eve", PASSWORD, secret, HERE)).role is Role.AUDITOR
    with pytest.raises(InvitationRefused):
        await anybody.register("eva", PASSWORD, secret, HERE)


@pytest.mark.parametrize("secret", [None, *NO_SECRETS], ids=range(len(NO_SECRETS) + 1))
async def test_what_is_no_secret_gets_one_answer_and_costs_no_work(
    invited: Registration, database: Database, context: Context, secret: str | None
) -> None:
    with pytest.raises(InvitationRefused) as refused:
        await invited.register("eve", PASSWORD, secret, HERE)
    assert str(refused.value) == InvitationRefused.title
    if secret is not None:
        with pytest.raises(InvitationRefused):
            await invited.set_password(secret, PASSWORD, HERE)
    assert await count(database) == 0
    assert context.calls == {}


async def test_of_fifty_who_come_with_one_secret_one_gets_in(
    invited: Registration,
    accounts: Accounts,
    database: Database,
    hasher: PasswordHasher,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hash_of = await hasher.hash(PASSWORD)
    monkeypatch.setattr(hasher, "hash", lambda *_, **__: asyncio.sleep(0, hash_of))  # the race is behind it
    for turn in range(2):
        secret = await secret_for(accounts)
        attempts = [invited.register(f"eve-{turn}-{number}", PASSWORD, secret, HERE) for number in range(50)]
        done, refused = await at_once(attempts)
        assert (len(done), {type(error) for error in refused}) == (1, {InvitationRefused})
        assert await count(database) == turn + 1
    assert await count(database, InvitationRow) == 0


async def test_a_refused_registration_leaves_the_invitation_good(
    invited: Registration, accounts: Accounts, users: Users
) -> None:
    await make(users, "ada")
    secret = await secret_for(accounts)
    for name, password, error in (
        ("ADA", PASSWORD, UserTaken),
        ("eve", "short", Unprocessable),
        ("eve", "password1234", PasswordGuessable),
        ("two words", PASSWORD, Unprocessable),
    ):
        with pytest.raises(error):
            await invited.register(name, password, secret, HERE)
    assert (await invited.register("eve", PASSWORD, secret, HERE)).name == "eve"


async def test_an_invitation_ends_with_its_time(
    invited: Registration, accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    hands, secret = Clock(monkeypatch), await secret_for(accounts)
    hands.move(hours=1)
    with pytest.raises(InvitationRefused):
        await invited.register("eve", PASSWORD, secret, HERE)
    hands.move(microseconds=-1)
    assert (await invited.register("eve", PASSWORD, secret, HERE)).name == "eve"


@pytest.mark.parametrize("changes", [UserChanges(role=Role.AUDITOR), UserChanges(disabled=True)])
async def test_secrets_die_with_the_rights_of_who_made_them(
    invited: Registration, accounts: Accounts, users: Users, sessions: Sessions, changes: UserChanges
) -> None:
    for name in ("root", "other"):
        await make(users, name, Role.ADMIN)
    victim = await make(users, "ada")
    root = await signed_in(sessions, "root")
    secret = await secret_for(accounts, Role.ADMIN, root)
    reset = await accounts.reset_password(root, victim.id, HERE)
    await accounts.change(CLI, root.user_id, None, changes, HERE)
    assert await accounts.invitations(CLI) == []
    with pytest.raises(InvitationRefused):
        await invited.register("eve", PASSWORD, secret, HERE)
    with pytest.raises(InvitationRefused):
        await invited.set_password(reset.secret, PASSWORD, HERE)


async def test_an_invitation_that_was_taken_back_is_good_for_nothing(
    invited: Registration, accounts: Accounts, database: Database
) -> None:
    made, secret = await accounts.invite(CLI, Role.ADMIN, HOUR, HERE)
    assert await accounts.invitations(CLI) == [made]
    await accounts.revoke_invitation(CLI, made.id, HERE)
    with pytest.raises(InvitationRefused):
        await invited.register("eve", PASSWORD, secret.secret, HERE)
    assert [event.subject for event in await record(database, "user.invitation_revoked")] == [str(made.id)]


async def test_a_secret_is_good_for_one_thing_alone(
    invited: Registration, accounts: Accounts, users: Users, sessions: Sessions
) -> None:
    ada = await make(users, "ada")
    reset, invitation = await accounts.reset_password(CLI, ada.id, HERE), await secret_for(accounts)
    with pytest.raises(InvitationRefused):
        await invited.register("eve", PASSWORD, reset.secret, HERE)
    with pytest.raises(InvitationRefused):
        await invited.set_password(invitation, PASSWORD, HERE)
    await invited.set_password(reset.secret, PASSWORD, HERE)
    assert (await signed_in(sessions, "ada")).user_id == ada.id
    assert (await invited.register("eve", PASSWORD, invitation, HERE)).name == "eve"


async def test_only_a_digest_is_kept_of_a_secret_and_none_is_on_record(
    accounts: Accounts, users: Users, database: Database
) -> None:
    ada = await make(users, "ada")
    secrets = [await secret_for(accounts), (await accounts.reset_password(CLI, ada.id, HERE)).secret]
    async with database.read() as connection:
        kept = str([tuple(row) for row in await connection.execute(select(InvitationRow))])
    told = " ".join([event.canonical() for event in await record(database, "user.invited", "user.password_reset")])
    for secret in secrets:
        assert secret.startswith("pinv_")
        assert len(secret) == 48
        assert secret not in kept + told
        assert secret[5:] not in kept + told
    assert (await count(database, InvitationRow)) == 2


async def test_a_set_password_ends_the_sessions_and_keeps_to_the_rules(
    closed: Registration, accounts: Accounts, users: Users, sessions: Sessions, database: Database
) -> None:
    ada = await make(users, "grandmother-ada")
    secret = (await accounts.reset_password(CLI, ada.id, HERE)).secret
    for refused in ("short", "password1234", "Grandmother-ADA"):
        with pytest.raises(Unprocessable):
            await closed.set_password(secret, refused, HERE)
    await closed.set_password(secret, PASSWORD, HERE)
    theirs = await signed_in(sessions, ada.name)
    again = (await accounts.reset_password(CLI, ada.id, HERE)).secret
    await closed.set_password(again, PASSWORD, HERE)
    assert not await lives(sessions, database, theirs)
    changed = await record(database, "user.password_changed")
    assert [(event.subject, event.details) for event in changed] == [(str(ada.id), {"by": "secret"})] * 2


async def test_a_disabled_account_gets_no_password(
    closed: Registration, accounts: Accounts, users: Users, sessions: Sessions
) -> None:
    ada = await make(users, "ada")
    await make(users, "root", Role.ADMIN)
    secret = (await accounts.reset_password(CLI, ada.id, HERE)).secret
    await accounts.change(CLI, ada.id, None, UserChanges(disabled=True), HERE)
    with pytest.raises(Forbidden):
        await closed.set_password(secret, PASSWORD, HERE)
    await accounts.change(CLI, ada.id, None, UserChanges(disabled=False), HERE)
    with pytest.raises(InvalidGrant):
        await sessions.sign_in("ada", PASSWORD, NOWHERE)


async def test_of_fifty_who_set_a_password_with_one_secret_one_does(
    closed: Registration, accounts: Accounts, users: Users, hasher: PasswordHasher, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await make(users, "ada")
    monkeypatch.setattr(hasher, "hash", lambda password, **_: asyncio.sleep(0, f"hash of {password}"))
    secret = (await accounts.reset_password(CLI, ada.id, HERE)).secret
    done, refused = await at_once([closed.set_password(secret, f"number {n}", HERE) for n in range(50)])
    assert (len(done), {error.status for error in refused}) == (1, {403})
    assert (await users.get(ada.id)).password_hash.startswith("hash of number ")


def test_every_refusal_is_a_403_of_its_own() -> None:
    kinds: list[type[PortalError]] = [RegistrationClosed, InvitationRefused]
    assert [(kind.status, kind.code) for kind in kinds] == [(403, "registration_closed"), (403, "invitation_refused")]
