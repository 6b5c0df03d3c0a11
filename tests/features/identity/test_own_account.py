"""One's own password and sessions on both databases: what has to be known, and what ends."""

import pytest

from portal.core.errors import Conflict, Unprocessable
from portal.core.principal import NOWHERE, Origin
from portal.db.unit_of_work import Database
from portal.features.identity.accounts import Accounts
from portal.features.identity.grant_errors import InvalidGrant
from portal.features.identity.hashing_queue import QueueShare
from portal.features.identity.own_account import OwnAccount
from portal.features.identity.passwords import PasswordGuessable, PasswordHasher
from portal.features.identity.registration import InvitationRefused, Registration
from portal.features.identity.repository import User
from portal.features.identity.revocation import Revocations
from portal.features.identity.sessions import Sessions
from portal.features.identity.throttle import FREE_HERE, TooManyAttempts
from portal.features.identity.users import Users

from .stage import EVERYTHING, PASSWORD, at_once, lives, make, record, signed_in

NEW = "paper boat in winter"
HERE = Origin("request-1", "192.0.2.7")


@pytest.fixture
async def ada(users: Users) -> User:
    return await make(users, "grandmother-ada")


async def test_a_changed_password_ends_every_other_session_and_is_on_record(
    ada: User, owner: OwnAccount, sessions: Sessions, database: Database
) -> None:
    mine, other = [await signed_in(sessions, ada.name) for _ in range(2)]
    pair = await sessions.sign_in(ada.name, PASSWORD, NOWHERE)
    await owner.change_password(mine, PASSWORD, None, NEW, HERE)
    assert await lives(sessions, database, mine)
    assert not await lives(sessions, database, other)
    with pytest.raises(InvalidGrant):
        await sessions.refresh(pair.refresh_token, NOWHERE)
    with pytest.raises(InvalidGrant):
        await sessions.sign_in(ada.name, PASSWORD, NOWHERE)
    assert (await sessions.sign_in(ada.name, NEW, NOWHERE)).scope == EVERYTHING
    (event,) = await record(database, "user.password_changed")
    assert (event.actor, event.subject, event.origin) == (mine.actor, str(ada.id), HERE)
    assert NEW not in event.canonical()


async def test_the_session_that_changed_a_password_refreshes_on(
    ada: User, owner: OwnAccount, sessions: Sessions
) -> None:
    pair = await sessions.sign_in(ada.name, PASSWORD, NOWHERE)
    await owner.change_password(await sessions.resolve(pair.access_token), PASSWORD, None, NEW, HERE)
    assert (await sessions.refresh(pair.refresh_token, NOWHERE)).scope == EVERYTHING


async def test_who_does_not_know_the_password_changes_nothing_and_is_slowed_down(
    ada: User, owner: OwnAccount, sessions: Sessions, users: Users
) -> None:
    thief = await signed_in(sessions, ada.name)
    for _ in range(FREE_HERE):
        with pytest.raises(InvalidGrant):
            await owner.change_password(thief, "a wrong password", None, NEW, HERE)
    with pytest.raises(TooManyAttempts):
        await owner.change_password(thief, PASSWORD, None, NEW, HERE)
    assert await users.get(ada.id) == ada


@pytest.mark.parametrize(
    ("password", "error"),
    [("short", Unprocessable), ("password1234", PasswordGuessable), ("Grandmother-Ada", PasswordGuessable)],
)
async def test_a_new_password_keeps_to_the_rules(
    ada: User, owner: OwnAccount, sessions: Sessions, users: Users, password: str, error: type[Exception]
) -> None:
    mine = await signed_in(sessions, ada.name)
    with pytest.raises(error):
        await owner.change_password(mine, PASSWORD, None, password, HERE)
    assert await users.get(ada.id) == ada


async def test_a_changed_password_ends_secrets_that_would_set_another(
    ada: User, owner: OwnAccount, sessions: Sessions, accounts: Accounts, database: Database, hasher: PasswordHasher
) -> None:
    registration = Registration(database, hasher, "closed", Revocations())
    secret = await accounts.reset_password("system:cli/test", ada.id, HERE)
    await registration.set_password(secret.secret, PASSWORD, HERE)
    mine = await signed_in(sessions, ada.name)
    await owner.change_password(mine, PASSWORD, None, NEW, HERE)
    with pytest.raises(InvitationRefused):
        await registration.set_password(secret.secret, PASSWORD, HERE)


async def test_of_two_changes_at_once_one_counts(ada: User, owner: OwnAccount, sessions: Sessions) -> None:
    password = PASSWORD
    mine = await signed_in(sessions, ada.name)
    for turn in range(10):
        wanted = [f"{NEW} {turn} {which}" for which in "ab"]
        done, refused = await at_once([owner.change_password(mine, password, None, each, HERE) for each in wanted])
        assert len(done) == 1
        assert isinstance(refused[0], InvalidGrant | Conflict)
        for each in wanted:
            try:
                await sessions.sign_in(ada.name, each, NOWHERE)
            except InvalidGrant:
                continue
            password = each
        assert password in wanted


async def test_a_sign_in_that_is_judged_while_the_password_changes_gets_no_session(
    ada: User, owner: OwnAccount, sessions: Sessions, hasher: PasswordHasher, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = await signed_in(sessions, ada.name)
    really = hasher.verify

    async def overtaken(password: str, known: str | None, asker: QueueShare) -> bool:
        right = await really(password, known, asker)
        monkeypatch.setattr(hasher, "verify", really)
        await owner.change_password(mine, PASSWORD, None, NEW, HERE)
        return right

    monkeypatch.setattr(hasher, "verify", overtaken)
    with pytest.raises(InvalidGrant):
        await sessions.sign_in(ada.name, PASSWORD, NOWHERE)


async def test_signing_out_everywhere_ends_this_session_too_and_nobody_elses(
    ada: User, owner: OwnAccount, sessions: Sessions, users: Users, database: Database
) -> None:
    await make(users, "Eve")
    mine, other = [await signed_in(sessions, ada.name) for _ in range(2)]
    hers = await signed_in(sessions, "Eve")
    await owner.end_all_sessions(mine, HERE)
    assert [await lives(sessions, database, each) for each in (mine, other, hers)] == [False, False, True]
    (event,) = await record(database, "user.sessions_revoked")
    assert (event.actor, event.subject) == (mine.actor, str(ada.id))
