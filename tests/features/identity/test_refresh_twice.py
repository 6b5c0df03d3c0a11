"""A refresh sent twice, on both databases: a lost answer and a second tab cost nothing, a late copy the session.

RFC 9700 §4.14.2 has refresh tokens rotated and a second use end the session; a client whose answer was lost cannot know
that it was used. So for GRACE it gets what it did not get: the same pair, and nothing that a thief could not have had.
"""

import asyncio
from datetime import timedelta

import pytest

from portal.core.errors import NotSignedIn
from portal.core.principal import NOWHERE, Origin
from portal.core.secrets import Secret
from portal.db.unit_of_work import Database
from portal.features.identity.grant_errors import InvalidGrant
from portal.features.identity.password_auth import PasswordAuthenticator
from portal.features.identity.refresh import RefreshTokens
from portal.features.identity.sessions import GRACE, Sessions, TokenPair
from portal.features.identity.tokens import AccessTokens
from portal.features.identity.users import Users

from .conftest import KEYS
from .stage import PASSWORD, Clock, at_once, make, record

HERE = Origin("request-1", "192.0.2.7")
ROTATED = "auth.refreshed", "auth.refresh_reused"


@pytest.fixture
def hands(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
async def pair(users: Users, sessions: Sessions, hands: Clock) -> TokenPair:
    await make(users, "Ada")
    hands.move(minutes=1)
    return await sessions.sign_in("Ada", PASSWORD, NOWHERE)


async def is_good(sessions: Sessions, pair: TokenPair) -> bool:
    try:
        await sessions.resolve(pair.access_token)
    except NotSignedIn:
        return False
    return True


async def test_a_lost_answer_is_given_again(
    pair: TokenPair, sessions: Sessions, database: Database, hands: Clock
) -> None:
    lost = await sessions.refresh(pair.refresh_token, HERE)
    hands.move(seconds=GRACE.total_seconds() - 1)
    again = await sessions.refresh(pair.refresh_token, HERE)
    assert (again.access_token, again.refresh_token) == (lost.access_token, lost.refresh_token)
    assert again.expires_in == lost.expires_in - GRACE.total_seconds() + 1
    assert await is_good(sessions, again)
    first, second = await record(database, *ROTATED)
    assert (first.details, second.details) == (
        {"grant": "refresh_token"},
        {"grant": "refresh_token", "repeated": True},
    )


@pytest.mark.parametrize("count", [2, 20])
async def test_tabs_that_refresh_at_once_share_the_session(
    pair: TokenPair, sessions: Sessions, database: Database, count: int
) -> None:
    done, refused = await at_once([sessions.refresh(pair.refresh_token, HERE) for _ in range(count)])
    assert refused == []
    assert len({(each.access_token, each.refresh_token) for each in done}) == 1
    assert await is_good(sessions, done[0])
    assert [event.kind.value for event in await record(database, *ROTATED)] == ["auth.refreshed"] * count
    await sessions.refresh(done[0].refresh_token, HERE)


async def test_after_the_grace_a_copy_ends_the_session(
    pair: TokenPair, sessions: Sessions, database: Database, hands: Clock
) -> None:
    newer = await sessions.refresh(pair.refresh_token, HERE)
    hands.move(seconds=GRACE.total_seconds())
    with pytest.raises(InvalidGrant):
        await sessions.refresh(pair.refresh_token, HERE)
    assert not await is_good(sessions, newer)
    assert [event.kind.value for event in await record(database, *ROTATED)] == list(ROTATED)


async def test_a_thief_within_the_grace_is_found_out_when_either_goes_on(
    pair: TokenPair, sessions: Sessions, hands: Clock
) -> None:
    theirs = await sessions.refresh(pair.refresh_token, HERE)
    stolen = await sessions.refresh(pair.refresh_token, NOWHERE)
    assert stolen.refresh_token == theirs.refresh_token  # one family, and no second line of it
    hands.move(minutes=14)
    used = await sessions.refresh(stolen.refresh_token, NOWHERE)
    hands.move(minutes=1)
    with pytest.raises(InvalidGrant):
        await sessions.refresh(theirs.refresh_token, HERE)
    assert not await is_good(sessions, used)


async def test_what_took_its_place_being_used_as_well_a_token_is_a_copy_at_once(
    pair: TokenPair, sessions: Sessions
) -> None:
    second = await sessions.refresh(pair.refresh_token, HERE)
    third = await sessions.refresh(second.refresh_token, HERE)
    with pytest.raises(InvalidGrant):
        await sessions.refresh(pair.refresh_token, HERE)
    assert not await is_good(sessions, third)


async def test_a_session_that_was_ended_gives_nothing_again(pair: TokenPair, sessions: Sessions) -> None:
    await sessions.refresh(pair.refresh_token, HERE)
    await sessions.sign_out(await sessions.resolve(pair.access_token), HERE)
    with pytest.raises(InvalidGrant):
        await sessions.refresh(pair.refresh_token, HERE)


async def test_another_key_put_in_front_meanwhile_changes_nothing(
    pair: TokenPair, sessions: Sessions, database: Database, password_auth: PasswordAuthenticator
) -> None:
    lost = await sessions.refresh(pair.refresh_token, HERE)
    keys = [Secret(b"n" * 32), *KEYS]
    restarted = Sessions(database, password_auth, AccessTokens(keys), RefreshTokens(keys))
    again = await restarted.refresh(pair.refresh_token, HERE)
    assert again.refresh_token == lost.refresh_token
    assert await is_good(restarted, again)


async def test_the_first_of_a_crowd_may_be_cut_off(pair: TokenPair, sessions: Sessions) -> None:
    gone = asyncio.create_task(sessions.refresh(pair.refresh_token, HERE))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    assert await is_good(sessions, await sessions.refresh(pair.refresh_token, HERE))


async def test_an_unused_session_is_over_and_a_used_one_is_not(
    pair: TokenPair, sessions: Sessions, hands: Clock
) -> None:
    hands.move(minutes=59)
    newer = await sessions.refresh(pair.refresh_token, HERE)
    hands.move(minutes=59)
    newest = await sessions.refresh(newer.refresh_token, HERE)
    hands.move(minutes=61)
    with pytest.raises(InvalidGrant):
        await sessions.refresh(newest.refresh_token, HERE)


async def test_requests_and_transfers_count_as_use(
    pair: TokenPair, sessions: Sessions, database: Database, hands: Clock
) -> None:
    principal = await sessions.resolve(pair.access_token)
    for _ in range(8):
        hands.move(minutes=14)
        async with database.read() as connection:
            await sessions.reauthenticate(connection, principal)
        await noted(sessions)
    assert (await sessions.refresh(pair.refresh_token, HERE)).refresh_token


async def noted(sessions: Sessions) -> None:
    for _ in range(1000):
        if not sessions._uses._noting:
            return
        await asyncio.sleep(0.01)
    pytest.fail("the use was never noted")


async def test_the_time_of_a_session_ends_nothing_that_was_begun_in_it(
    pair: TokenPair, sessions: Sessions, database: Database, hands: Clock
) -> None:
    principal = await sessions.resolve(pair.access_token)
    hands.move(hours=13)
    async with database.read() as connection:
        assert await sessions.reauthenticate(connection, principal) == principal
        with pytest.raises(NotSignedIn):
            await sessions.require_live(connection, principal.credential_id)
    await sessions.sign_out(principal, HERE)
    async with database.read() as connection:
        with pytest.raises(NotSignedIn):
            await sessions.reauthenticate(connection, principal)


def test_the_grace_is_shorter_than_an_access_token() -> None:
    assert timedelta(seconds=5) <= GRACE <= timedelta(minutes=1)
