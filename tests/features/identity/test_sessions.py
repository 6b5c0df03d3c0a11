"""Sign-ins on both databases: one answer for every refusal, tokens used once, and an end that is felt at once."""

import asyncio
from collections.abc import Awaitable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, update

from portal.core import clock
from portal.core.errors import NotSignedIn, Unavailable, Unprocessable
from portal.core.ids import new_id
from portal.core.principal import NOWHERE, Origin, Principal, Role
from portal.core.secrets import Secret
from portal.db.unit_of_work import Database
from portal.features.audit.events import Event
from portal.features.audit.models import AuditRow
from portal.features.identity.grant_errors import InvalidGrant
from portal.features.identity.hashing_queue import QueueShare
from portal.features.identity.models import SessionRow, UserRow
from portal.features.identity.passwords import PasswordHasher
from portal.features.identity.refresh import RefreshTokens
from portal.features.identity.repository import User
from portal.features.identity.sessions import GRACE, SESSION_LIFETIME, Sessions, TokenPair
from portal.features.identity.tokens import AccessClaims, AccessTokens
from portal.features.identity.users import Users

from .stage import EVERYTHING

NAME, PASSWORD = "Ada", "correct horse battery"
HERE = Origin("request-1", "192.0.2.7")
audit: Any = AuditRow
user_rows: Any = UserRow
session_rows: Any = SessionRow


@pytest.fixture
async def ada(users: Users) -> User:
    return await users.create(NAME, Role.ANALYST, PASSWORD, actor="system:cli")


@pytest.fixture
async def pair(ada: User, sessions: Sessions) -> TokenPair:
    """Ada's, signed in."""
    assert ada.name == NAME
    return await sessions.sign_in(NAME, PASSWORD, NOWHERE)


class Clock:
    """The portal's clock, moved by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = clock.now()
        monkeypatch.setattr(clock, "now", self.read)

    def read(self) -> datetime:
        return self.now


@pytest.fixture
def hands(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


async def bodies(database: Database) -> list[str]:
    """The bytes that are on record."""
    async with database.read() as connection:
        return list((await connection.execute(select(audit.body).order_by(audit.seq))).scalars())


async def events(database: Database) -> list[Event]:
    """What is on record since the account was made."""
    told = map(Event.from_canonical, await bodies(database))
    return [event for event in told if event.kind != "user.created"]


async def kinds(database: Database) -> list[str]:
    return [event.kind.value for event in await events(database)]


def failures(count: int) -> list[str]:
    return ["auth.sign_in_failed"] * count


def by_password(name: str) -> dict[str, str]:
    """What is told of a refused password grant."""
    return {"grant": "password", "name": name}


BY_TOKEN = {"grant": "refresh_token"}


async def change_user(database: Database, **values: object) -> None:
    async with database.write() as connection:
        await connection.execute(update(UserRow).values(**values))


async def session_of(database: Database, pair: TokenPair) -> Any:
    async with database.read() as connection:
        where = session_rows.id == session_id(pair)
        return (await connection.execute(select(SessionRow).where(where))).one()


def session_id(pair: TokenPair) -> UUID:
    return UUID(pair.refresh_token.partition(".")[0])


async def ended(sessions: Sessions, *pairs: TokenPair) -> bool:
    """Whether no token of `pairs` is of any use."""
    uses = [sessions.resolve(pair.access_token) for pair in pairs]
    uses += [sessions.refresh(pair.refresh_token, NOWHERE) for pair in pairs]  # type: ignore[misc]  # of both kinds
    results = [await asyncio.gather(use, return_exceptions=True) for use in uses]
    return all(isinstance(result, NotSignedIn | InvalidGrant) for (result,) in results)


async def test_a_sign_in_gives_a_pair_that_is_good(ada: User, sessions: Sessions) -> None:
    pair = await sessions.sign_in(NAME, PASSWORD, HERE)
    assert await sessions.resolve(pair.access_token) == Principal(
        f"user:{ada.id}", Role.ANALYST, ada.id, session_id(pair)
    )
    assert (pair.expires_in, pair.scope) == (900, EVERYTHING)


async def test_a_sign_in_is_on_record(ada: User, sessions: Sessions, database: Database) -> None:
    pair = await sessions.sign_in(NAME, PASSWORD, HERE)
    (event,) = await events(database)
    assert (event.kind, event.actor, event.origin) == ("auth.sign_in", f"user:{ada.id}", HERE)
    assert event.subject == str(session_id(pair))


async def test_a_name_may_be_typed_in_any_of_its_spellings(pair: TokenPair, sessions: Sessions) -> None:
    for name in ("ada", "ADA", "\uff21\uff24\uff21"):
        again = await sessions.sign_in(name, PASSWORD, NOWHERE)
        assert session_id(again) != session_id(pair)


async def test_a_pair_shows_itself_in_no_repr_and_only_digests_are_kept(pair: TokenPair, database: Database) -> None:
    assert pair.access_token not in repr(pair)
    assert pair.refresh_token not in repr(pair)
    row = await session_of(database, pair)
    secret = pair.refresh_token.split(".")[1]
    assert len(secret) == 43
    assert secret not in str(tuple(row))
    assert len(row.refresh_digest) == 32
    assert secret not in " ".join([event.canonical() for event in await events(database)])


async def refusal(attempt: Awaitable[TokenPair]) -> tuple[type, str]:
    with pytest.raises(InvalidGrant) as caught:
        await attempt
    return type(caught.value), str(caught.value)


async def test_unknown_mistaken_and_disabled_get_one_answer_and_are_on_record(
    ada: User, sessions: Sessions, database: Database
) -> None:
    mistaken = await refusal(sessions.sign_in(NAME, "wrong password", HERE))
    unknown = await refusal(sessions.sign_in("Eve", PASSWORD, HERE))
    await change_user(database, disabled_at=clock.now())
    disabled = await refusal(sessions.sign_in(NAME, PASSWORD, HERE))
    assert mistaken == unknown == disabled == (InvalidGrant, InvalidGrant.title)
    told = await events(database)
    assert [event.kind.value for event in told] == failures(3)
    assert {event.actor for event in told} == {"nobody"}
    assert {event.origin for event in told} == {HERE}
    assert {event.subject for event in told} == {None}
    assert [event.details for event in told] == [by_password(NAME), by_password("Eve"), by_password(NAME)]
    assert ada.disabled_at is None


async def test_every_refusal_costs_one_verification(
    ada: User, hasher: PasswordHasher, sessions: Sessions, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str | None] = []
    really = hasher.verify

    async def verify(password: str, known: str | None, asker: QueueShare) -> bool:
        calls.append(known)
        return await really(password, known, asker)

    monkeypatch.setattr(hasher, "verify", verify)
    await refusal(sessions.sign_in("Eve", PASSWORD, NOWHERE))
    await refusal(sessions.sign_in(NAME, "wrong password", NOWHERE))
    await change_user(database, disabled_at=clock.now())
    await refusal(sessions.sign_in(NAME, PASSWORD, NOWHERE))
    assert calls == [None, ada.password_hash, None]


UNKNOWN_NAMES = [
    "",
    " ",
    "x" * 100_000,
    "' OR 1=1 --",
    "a\nb\x1b[2J",
    "é",
    "\U0001f600" * 99,
    "%",
    "\u202eadA",
    "\0",
    "Ada\0",
    "\ud800",
    "x" * 64,
    "x" * 64 + "y",
]


async def test_any_name_is_an_unknown_user_and_on_record_in_short_as_typed_in_a_line_of_ascii(
    ada: User, sessions: Sessions, database: Database
) -> None:
    assert ada.name not in UNKNOWN_NAMES
    for name in UNKNOWN_NAMES:
        await refusal(sessions.sign_in(name, PASSWORD, NOWHERE))
    assert [event.details for event in await events(database)] == [by_password(name[:64]) for name in UNKNOWN_NAMES]
    assert all(body.isascii() and body.isprintable() for body in await bodies(database))


async def test_no_password_goes_on_record(ada: User, sessions: Sessions, database: Database) -> None:
    assert ada.name == NAME
    await refusal(sessions.sign_in(NAME, "c4n4ry password", HERE))
    await sessions.sign_in(NAME, PASSWORD, HERE)
    told = " ".join([event.canonical() for event in await events(database)])
    assert "c4n4ry" not in told
    assert PASSWORD not in told


async def test_a_password_that_cannot_be_is_said_to_be_so_to_everybody_and_on_record(
    ada: User, sessions: Sessions, database: Database
) -> None:
    for name in (ada.name, "Eve"):
        for password in ("x" * 1_025, "é" * 513, "x" * 12 + "\ud800"):
            with pytest.raises(Unprocessable):
                await sessions.sign_in(name, password, HERE)
    told = await events(database)
    assert [event.kind.value for event in told] == failures(6)
    assert {(event.actor, event.subject, event.origin) for event in told} == {("nobody", None, HERE)}
    assert [event.details for event in told] == [*[by_password(NAME)] * 3, *[by_password("Eve")] * 3]


async def test_a_password_as_long_as_can_be_is_only_wrong(ada: User, sessions: Sessions, database: Database) -> None:
    await refusal(sessions.sign_in(ada.name, "x" * 1_024, NOWHERE))
    assert [event.details for event in await events(database)] == [by_password(NAME)]


async def test_too_many_at_once_are_not_failures_on_record(
    ada: User, hasher: PasswordHasher, sessions: Sessions, database: Database
) -> None:
    assert ada.name == NAME
    hasher._turns._taken = 32
    with pytest.raises(Unavailable):
        await sessions.sign_in(NAME, PASSWORD, NOWHERE)
    assert await events(database) == []


async def test_a_refresh_gives_a_new_pair_of_the_same_session(
    pair: TokenPair, sessions: Sessions, database: Database
) -> None:
    current = pair
    for _ in range(5):
        current, before = await sessions.refresh(current.refresh_token, NOWHERE), current
        assert current.refresh_token != before.refresh_token
        assert current.access_token != before.access_token
        assert session_id(current) == session_id(pair)
        assert (await sessions.resolve(current.access_token)).credential_id == session_id(pair)
    assert await kinds(database) == ["auth.sign_in", *["auth.refreshed"] * 5]


async def test_a_refresh_is_on_record(ada: User, pair: TokenPair, sessions: Sessions, database: Database) -> None:
    newer = await sessions.refresh(pair.refresh_token, HERE)
    _, event = await events(database)
    assert (event.kind, event.actor, event.origin) == ("auth.refreshed", f"user:{ada.id}", HERE)
    assert (event.subject, event.details) == (str(session_id(pair)), BY_TOKEN)
    told = " ".join(await bodies(database))
    for each in (pair, newer):
        assert not any(part in told for part in each.refresh_token.split(".")[1:])


async def test_an_access_token_outlives_the_refresh_that_followed_it(pair: TokenPair, sessions: Sessions) -> None:
    await sessions.refresh(pair.refresh_token, NOWHERE)
    assert (await sessions.resolve(pair.access_token)).credential_id == session_id(pair)


async def test_the_second_use_of_a_refresh_token_ends_its_family_and_is_on_record(
    ada: User, pair: TokenPair, sessions: Sessions, database: Database, hands: Clock
) -> None:
    newer = await sessions.refresh(pair.refresh_token, NOWHERE)
    hands.now += GRACE
    await refusal(sessions.refresh(pair.refresh_token, HERE))
    assert await ended(sessions, newer, pair)
    _, refreshed, reused, *later = await events(database)
    assert refreshed.kind == "auth.refreshed"
    assert (reused.kind, reused.actor, reused.origin) == ("auth.refresh_reused", f"user:{ada.id}", HERE)
    assert (reused.subject, reused.details) == (str(session_id(pair)), BY_TOKEN)
    assert [event.kind.value for event in later] == failures(2)
    assert [event.subject for event in later] == [str(session_id(pair))] * 2


@pytest.mark.parametrize("generations", [2, 5])
async def test_however_old_a_used_refresh_token_is_it_ends_its_family(
    pair: TokenPair, sessions: Sessions, database: Database, generations: int
) -> None:
    newer = pair
    for _ in range(generations):
        newer = await sessions.refresh(newer.refresh_token, NOWHERE)
    await refusal(sessions.refresh(pair.refresh_token, NOWHERE))
    assert await ended(sessions, newer)
    assert await kinds(database) == [
        "auth.sign_in",
        *["auth.refreshed"] * generations,
        "auth.refresh_reused",
        *failures(1),
    ]


async def test_a_family_ends_once(pair: TokenPair, sessions: Sessions, database: Database, hands: Clock) -> None:
    await sessions.refresh(pair.refresh_token, NOWHERE)
    hands.now += GRACE
    for _ in range(3):
        await refusal(sessions.refresh(pair.refresh_token, NOWHERE))
    assert await kinds(database) == ["auth.sign_in", "auth.refreshed", "auth.refresh_reused", *failures(2)]


async def test_the_end_of_one_family_leaves_others_alone(pair: TokenPair, sessions: Sessions, hands: Clock) -> None:
    other = await sessions.sign_in(NAME, PASSWORD, NOWHERE)
    newer = await sessions.refresh(pair.refresh_token, NOWHERE)
    hands.now += GRACE
    await refusal(sessions.refresh(pair.refresh_token, NOWHERE))
    assert await ended(sessions, newer)
    assert (await sessions.resolve(other.access_token)).credential_id == session_id(other)
    await sessions.refresh(other.refresh_token, NOWHERE)


async def test_a_guess_at_a_known_session_does_not_end_it(
    pair: TokenPair, sessions: Sessions, database: Database
) -> None:
    family, _, secret = pair.refresh_token.partition(".")
    for guess in ("", "A" * 43, secret[:-1], secret + "A", secret.swapcase(), pair.access_token, "\0", "\ud800", "é"):
        await refusal(sessions.refresh(f"{family}.{guess}", NOWHERE))
    assert await kinds(database) == ["auth.sign_in", *failures(9)]
    newer = await sessions.refresh(pair.refresh_token, NOWHERE)
    await refusal(sessions.refresh(f"{family}.{'B' * 43}", NOWHERE))
    assert (await sessions.resolve(newer.access_token)).credential_id == session_id(pair)
    assert await kinds(database) == ["auth.sign_in", *failures(9), "auth.refreshed", *failures(1)]


SHAPES = ["", ".", "..", "x", "\n", "\0", "\ud800", "0" * 32, "." + "A" * 43, "g" * 32 + ".x", "é.é", "x" * 1_000_000]


async def test_what_is_no_refresh_token_is_refused_and_on_record(sessions: Sessions, database: Database) -> None:
    for token in SHAPES:
        await refusal(sessions.refresh(token, HERE))
    told = await events(database)
    assert [event.kind.value for event in told] == failures(len(SHAPES))
    assert {(event.actor, event.subject, event.origin) for event in told} == {("nobody", None, HERE)}
    assert [event.details for event in told] == [BY_TOKEN] * len(SHAPES)


async def test_the_refresh_token_of_no_session_is_refused(pair: TokenPair, sessions: Sessions) -> None:
    secret = pair.refresh_token.partition(".")[2]
    await refusal(sessions.refresh(f"{new_id().hex}.{secret}", NOWHERE))
    await refusal(sessions.refresh(pair.access_token, NOWHERE))


async def test_our_refresh_token_for_a_session_that_never_was_is_refused_and_on_record(
    sessions: Sessions, database: Database
) -> None:
    never = new_id()
    token, _ = RefreshTokens([Secret(b"s" * 32)]).issue(never)
    await refusal(sessions.refresh(token, HERE))
    (event,) = await events(database)
    assert (event.kind, event.actor, event.origin) == ("auth.sign_in_failed", "nobody", HERE)
    assert (event.subject, event.details) == (str(never), BY_TOKEN)


async def test_a_refresh_token_under_another_secret_key_is_refused_and_ends_nothing(
    pair: TokenPair, sessions: Sessions, database: Database
) -> None:
    forged, _ = RefreshTokens([Secret(b"t" * 32)]).issue(session_id(pair))
    await refusal(sessions.refresh(forged, NOWHERE))
    assert await kinds(database) == ["auth.sign_in", *failures(1)]
    await sessions.refresh(pair.refresh_token, NOWHERE)


async def test_the_secret_of_another_session_is_refused_and_ends_neither(pair: TokenPair, sessions: Sessions) -> None:
    other = await sessions.sign_in(NAME, PASSWORD, NOWHERE)
    crossed = f"{session_id(pair).hex}.{other.refresh_token.partition('.')[2]}"
    await refusal(sessions.refresh(crossed, NOWHERE))
    for each in (pair, other):
        await sessions.refresh(each.refresh_token, NOWHERE)


async def test_a_sign_out_is_felt_at_once(pair: TokenPair, sessions: Sessions, database: Database) -> None:
    other = await sessions.sign_in(NAME, PASSWORD, NOWHERE)
    principal = await sessions.resolve(pair.access_token)
    await sessions.sign_out(principal, HERE)
    assert await ended(sessions, pair)
    assert (await sessions.resolve(other.access_token)).credential_id == session_id(other)
    event = (await events(database))[2]
    assert (event.kind, event.actor, event.origin) == ("auth.sign_out", principal.actor, HERE)
    assert event.subject == str(session_id(pair))


async def test_a_second_sign_out_changes_nothing_about_the_first(
    pair: TokenPair, sessions: Sessions, database: Database, hands: Clock
) -> None:
    principal = await sessions.resolve(pair.access_token)
    await sessions.sign_out(principal, NOWHERE)
    first = (await session_of(database, pair)).revoked_at
    hands.now += timedelta(minutes=1)
    await sessions.sign_out(principal, NOWHERE)
    assert (await session_of(database, pair)).revoked_at == first


async def test_a_new_epoch_ends_every_session(pair: TokenPair, sessions: Sessions, database: Database) -> None:
    other = await sessions.sign_in(NAME, PASSWORD, NOWHERE)
    await change_user(database, epoch=2)
    assert await ended(sessions, pair, other)
    later = await sessions.sign_in(NAME, PASSWORD, NOWHERE)
    assert (await sessions.resolve(later.access_token)).credential_id == session_id(later)


async def test_disabling_a_user_ends_every_session(pair: TokenPair, sessions: Sessions, database: Database) -> None:
    await change_user(database, disabled_at=clock.now())
    assert await ended(sessions, pair)


async def test_a_change_of_role_is_felt_at_once(pair: TokenPair, sessions: Sessions, database: Database) -> None:
    await change_user(database, role="auditor")
    assert (await sessions.resolve(pair.access_token)).role is Role.AUDITOR
    assert (await sessions.refresh(pair.refresh_token, NOWHERE)).scope == EVERYTHING


async def test_an_access_token_lasts_fifteen_minutes_and_its_session_twelve_hours(
    pair: TokenPair, sessions: Sessions, hands: Clock
) -> None:
    born = hands.now
    hands.now = born + timedelta(minutes=16)
    with pytest.raises(NotSignedIn):
        await sessions.resolve(pair.access_token)
    newer = pair
    while hands.now < born + SESSION_LIFETIME - timedelta(minutes=30):
        hands.now += timedelta(minutes=20)
        newer = await sessions.refresh(newer.refresh_token, NOWHERE)
    assert (await sessions.resolve(newer.access_token)).credential_id == session_id(pair)
    hands.now = born + SESSION_LIFETIME
    assert await ended(sessions, newer)


async def test_a_refresh_does_not_make_a_session_longer(
    pair: TokenPair, sessions: Sessions, database: Database, hands: Clock
) -> None:
    before = (await session_of(database, pair)).expires_at
    hands.now += timedelta(minutes=50)
    await sessions.refresh(pair.refresh_token, NOWHERE)
    assert (await session_of(database, pair)).expires_at == before


ENDS = ["signed out", "new epoch", "disabled", "expired"]


async def end(how: str, principal: Principal, sessions: Sessions, database: Database, hands: Clock) -> None:
    if how == "signed out":
        await sessions.sign_out(principal, NOWHERE)
    elif how == "expired":
        hands.now += SESSION_LIFETIME
    else:
        await change_user(database, **({"epoch": 2} if how == "new epoch" else {"disabled_at": hands.now}))


@pytest.mark.parametrize("how", ENDS)
async def test_a_refresh_of_an_ended_session_is_refused_and_on_record(
    pair: TokenPair, sessions: Sessions, database: Database, hands: Clock, how: str
) -> None:
    principal = await sessions.resolve(pair.access_token)
    await end(how, principal, sessions, database, hands)
    await refusal(sessions.refresh(pair.refresh_token, HERE))
    told = (await events(database))[-1]
    assert told.actor in {"nobody", principal.actor}
    assert (told.kind, told.origin) == ("auth.sign_in_failed", HERE)
    assert (told.subject, told.details) == (str(session_id(pair)), BY_TOKEN)
    assert "auth.refresh_reused" not in await kinds(database)


@pytest.mark.parametrize("how", ENDS)
async def test_a_running_transfer_is_judged_again_in_the_callers_transaction(
    pair: TokenPair, sessions: Sessions, database: Database, hands: Clock, how: str
) -> None:
    principal = await sessions.resolve(pair.access_token)
    async with database.read() as connection:
        assert await sessions.require_live(connection, principal.credential_id) == principal
    await end(how, principal, sessions, database, hands)
    async with database.read() as connection:
        with pytest.raises(NotSignedIn):
            await sessions.require_live(connection, principal.credential_id)


async def test_a_token_for_a_session_that_never_was_is_refused(ada: User, sessions: Sessions) -> None:
    token = AccessTokens([Secret(b"s" * 32)]).issue(AccessClaims(ada.id, new_id()), clock.now())
    with pytest.raises(NotSignedIn):
        await sessions.resolve(token)


async def test_a_token_under_another_secret_key_is_refused(ada: User, pair: TokenPair, sessions: Sessions) -> None:
    claims = AccessClaims(ada.id, session_id(pair))
    ours = AccessTokens([Secret(b"s" * 32)]).issue(claims, clock.now())
    assert (await sessions.resolve(ours)).credential_id == session_id(pair)
    with pytest.raises(NotSignedIn):
        await sessions.resolve(AccessTokens([Secret(b"t" * 32)]).issue(claims, clock.now()))


async def test_what_is_no_access_token_is_refused(sessions: Sessions) -> None:
    for credential in ("", "Bearer x", "\ud800", "x" * 100_000):
        with pytest.raises(NotSignedIn):
            await sessions.resolve(credential)
