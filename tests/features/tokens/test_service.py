"""API tokens on both databases: less than their owner, never longer, and over at once."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_network
from typing import Any

import pytest
from sqlalchemy import text, update

from portal.core import clock, tasks
from portal.core.errors import Forbidden, InsufficientScope, NotFound, NotSignedIn, PortalError, Unprocessable
from portal.core.ids import new_id
from portal.core.principal import NOWHERE, CredentialKind, Origin, Permission, Principal, Role
from portal.db.unit_of_work import Database
from portal.features.identity.models import UserRow
from portal.features.identity.revocation import Revoked
from portal.features.tokens import service
from portal.features.tokens.repository import ApiToken
from portal.features.tokens.service import ApiTokens, CreatedApiToken, NewApiToken, TooManyTokens, end_tokens_of

from .conftest import Clock, SignIn, events

HERE = Origin("request-1", "192.0.2.7")
READS = frozenset({Permission.FILES_READ})
user_rows: Any = UserRow


def wanted(permissions: frozenset[Permission] = READS, days: int = 30, *networks: str, **more: Any) -> NewApiToken:
    return NewApiToken("collector", permissions, timedelta(days=days), tuple(map(ip_network, networks)), **more)


async def made(tokens: ApiTokens, principal: Principal, *what: Any, **more: Any) -> CreatedApiToken:
    return await tokens.create(principal, wanted(*what, **more), HERE)


async def listed(tokens: ApiTokens, ada: Principal) -> list[ApiToken]:
    return (await tokens.of_user(ada, ada.user_id)).items


async def change_owner(database: Database, principal: Principal, **values: Any) -> None:
    async with database.write() as connection:
        await connection.execute(update(user_rows).where(user_rows.id == principal.user_id).values(**values))


async def test_a_token_stands_for_its_owner_and_for_no_more_than_it_says(tokens: ApiTokens, ada: Principal) -> None:
    new = await made(tokens, ada)
    caller = await tokens.resolve(new.secret, HERE)
    assert caller == Principal(
        f"user:{ada.user_id}/token:{new.token.id}", ada.role, ada.user_id, new.token.id, CredentialKind.TOKEN, READS
    )


async def test_the_secret_is_kept_nowhere_and_shown_by_nothing(
    tokens: ApiTokens, ada: Principal, database: Database
) -> None:
    new = await made(tokens, ada)
    async with database.read() as connection:
        rows = [*(await connection.execute(text("SELECT * FROM api_tokens"))).all()]
        rows += (await connection.execute(text("SELECT * FROM audit"))).all()
    assert len(rows) == 2
    for shown in (*map(str, rows), repr(new), repr(await listed(tokens, ada))):
        assert new.secret not in shown
        assert (service.API_TOKEN_KIND.digest(new.secret) or b"").hex() not in shown.replace("\\x", "")


async def test_making_and_ending_one_is_on_record(tokens: ApiTokens, ada: Principal, database: Database) -> None:
    new = await made(tokens, ada, READS, 30, "192.0.2.0/24")
    await tokens.revoke(ada, new.token.id, HERE)
    await tokens.revoke(ada, new.token.id, HERE)
    created, revoked = await events(database)
    assert (created.kind, revoked.kind) == ("token.created", "token.revoked")
    for event in (created, revoked):
        assert (event.actor, event.subject, event.origin) == (ada.actor, str(new.token.id), HERE)
        assert event.details["permissions"] == "files:read"
        assert event.details["networks"] == "192.0.2.0/24"


@pytest.mark.parametrize(
    "permissions", [frozenset(), {Permission.ACCOUNT}, {Permission.FILES_READ, Permission.ACCOUNT}]
)
async def test_no_token_gets_the_account_or_nothing_at_all(
    tokens: ApiTokens, ada: Principal, permissions: Any, database: Database
) -> None:
    with pytest.raises(Unprocessable):
        await made(tokens, ada, frozenset(permissions))
    assert await listed(tokens, ada) == []
    assert await events(database) == []


async def test_a_session_that_is_good_for_less_makes_no_token_for_more(tokens: ApiTokens, ada: Principal) -> None:
    less = replace(ada, permissions=frozenset({Permission.ACCOUNT, Permission.FILES_READ}))
    with pytest.raises(InsufficientScope):
        await made(tokens, less, READS | {Permission.DOWNLOAD_RAW})
    await made(tokens, less, READS)


async def test_it_ends_when_it_said(tokens: ApiTokens, ada: Principal, hands: Clock) -> None:
    new = await made(tokens, ada, READS, 1)
    hands.passes(days=1, microseconds=-1)
    await tokens.resolve(new.secret, HERE)
    hands.passes(microseconds=1)
    with pytest.raises(NotSignedIn):
        await tokens.resolve(new.secret, HERE)


async def revoke(tokens: ApiTokens, _: Database, ada: Principal, new: CreatedApiToken) -> None:
    await tokens.revoke(ada, new.token.id, HERE)


async def disable(_: ApiTokens, database: Database, ada: Principal, __: CreatedApiToken) -> None:
    await change_owner(database, ada, disabled_at=clock.now())


@pytest.mark.parametrize("end", [revoke, disable])
async def test_it_is_over_at_once_for_new_requests_and_running_ones(
    tokens: ApiTokens, ada: Principal, database: Database, end: Any
) -> None:
    new = await made(tokens, ada)
    caller = await tokens.resolve(new.secret, HERE)
    await end(tokens, database, ada, new)
    with pytest.raises(NotSignedIn):
        await tokens.resolve(new.secret, HERE)
    async with database.read() as connection:
        with pytest.raises(NotSignedIn):
            await tokens.reauthenticate(connection, caller)


async def test_what_runs_by_one_whose_time_is_over_ends_with_everything(
    tokens: ApiTokens, ada: Principal, database: Database, hands: Clock
) -> None:
    new = await made(tokens, ada, READS, 1)
    caller = await tokens.resolve(new.secret, HERE)
    hands.passes(days=1)
    async with database.write() as connection:
        assert (await tokens.reauthenticate(connection, caller)).credential_id == new.token.id
        assert await end_tokens_of(connection, Revoked(ada.user_id, "a test", HERE, everything=True)) == 0
        with pytest.raises(NotSignedIn):
            await tokens.reauthenticate(connection, caller)


async def test_its_role_is_its_owners_as_of_now(tokens: ApiTokens, ada: Principal, database: Database) -> None:
    new = await made(tokens, ada)
    caller = await tokens.resolve(new.secret, HERE)
    await change_owner(database, ada, role=Role.AUDITOR.value)
    assert (await tokens.resolve(new.secret, HERE)).role is Role.AUDITOR
    async with database.read() as connection:
        assert (await tokens.reauthenticate(connection, caller)).role is Role.AUDITOR


@pytest.mark.parametrize(
    ("address", "good"),
    [
        ("192.0.2.7", True),
        ("::ffff:192.0.2.7", True),
        ("192.0.3.7", False),
        ("2001:db8::5", True),
        ("2001:db9::5", False),
        ("not an address", False),
        ("", False),
        (None, False),
    ],
)
async def test_a_token_of_networks_is_good_there_alone(
    tokens: ApiTokens, ada: Principal, address: str | None, *, good: bool
) -> None:
    new = await made(tokens, ada, READS, 30, "192.0.2.0/24", "2001:db8::/32")
    if good:
        await tokens.resolve(new.secret, Origin("r", address))
        return
    with pytest.raises(NotSignedIn):
        await tokens.resolve(new.secret, Origin("r", address))


async def test_what_was_never_made_costs_no_look_at_the_database(
    tokens: ApiTokens, monkeypatch: pytest.MonkeyPatch, database: Database
) -> None:
    def never() -> None:
        raise AssertionError("the database was asked")

    monkeypatch.setattr(database, "read", never)
    with pytest.raises(NotSignedIn):
        await tokens.resolve("prt_" + "a" * 46, HERE)


async def test_one_that_fits_the_form_and_is_unknown_is_refused(tokens: ApiTokens, ada: Principal) -> None:
    await made(tokens, ada)
    with pytest.raises(NotSignedIn):
        await tokens.resolve(service.API_TOKEN_KIND.new(), HERE)


async def test_its_last_use_is_shown_to_the_minute(tokens: ApiTokens, ada: Principal, hands: Clock) -> None:
    new = await made(tokens, ada)

    async def used() -> Any:
        await tokens.resolve(new.secret, HERE)
        for _ in range(500):  # nobody waits for the note
            if not tokens._uses._noting:
                break
            await asyncio.sleep(0.01)
        (token,) = await listed(tokens, ada)
        return token.last_used_at

    (token,) = await listed(tokens, ada)
    assert token.last_used_at is None
    first = await used()
    hands.passes(seconds=59)
    assert await used() == first
    hands.passes(seconds=2)
    assert await used() == hands.now


async def test_a_use_whose_note_was_begun_is_noted_when_the_portal_stops(tokens: ApiTokens, ada: Principal) -> None:
    new = await made(tokens, ada)
    await tokens.resolve(new.secret, HERE)
    await asyncio.sleep(0)  # the note is begun
    await tasks.drain()
    (token,) = await listed(tokens, ada)
    assert token.last_used_at is not None


async def test_an_account_has_no_end_of_tokens(
    tokens: ApiTokens, ada: Principal, monkeypatch: pytest.MonkeyPatch, hands: Clock
) -> None:
    monkeypatch.setattr(service, "MOST_TOKENS", 2)
    first = await made(tokens, ada)
    await made(tokens, ada, READS, 1)
    with pytest.raises(TooManyTokens):
        await made(tokens, ada)
    await tokens.revoke(ada, first.token.id, HERE)
    await made(tokens, ada)
    hands.passes(days=2)
    await made(tokens, ada)
    assert len(await listed(tokens, ada)) == 4


async def test_of_many_made_at_once_no_more_are_kept_than_may_be(
    tokens: ApiTokens, ada: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "MOST_TOKENS", 2)
    for _ in range(5):
        many = await asyncio.gather(*(outcome(made(tokens, ada)) for _ in range(6)))
        assert sorted(map(str, many)) == sorted(map(str, [None] * 2 + [TooManyTokens] * 4))
        for token in await listed(tokens, ada):
            await tokens.revoke(ada, token.id, HERE)


async def outcome(work: Any) -> type[PortalError] | None:
    try:
        await work
    except PortalError as error:
        return type(error)
    return None


@pytest.mark.parametrize(
    ("role", "listed", "revoked"),
    [
        (Role.ADMIN, None, None),
        (Role.AUDITOR, None, Forbidden),
        (Role.ANALYST, NotFound, NotFound),
        (Role.UPLOADER, NotFound, NotFound),
    ],
)
async def test_another_users_tokens(
    tokens: ApiTokens, ada: Principal, sign_in: SignIn, role: Role, listed: Any, revoked: Any
) -> None:
    new, other = await made(tokens, ada), await sign_in(role)
    assert await outcome(tokens.of_user(other, ada.user_id)) is listed
    assert await outcome(tokens.revoke(other, new.token.id, HERE)) is revoked
    assert await outcome(tokens.resolve(new.secret, HERE)) is (None if revoked else NotSignedIn)


async def test_a_token_that_is_not_there_is_not_found(tokens: ApiTokens, ada: Principal) -> None:
    with pytest.raises(NotFound):
        await tokens.revoke(ada, new_id(), NOWHERE)


async def test_what_has_long_been_over_is_forgotten(tokens: ApiTokens, ada: Principal, hands: Clock) -> None:
    old, revoked = await made(tokens, ada, READS, 1), await made(tokens, ada, READS, 366)
    live = await made(tokens, ada, READS, 366)
    await tokens.revoke(ada, revoked.token.id, HERE)
    hands.passes(days=90)
    await tokens.sweep()
    assert {token.id for token in await listed(tokens, ada)} == {t.token.id for t in (old, revoked, live)}
    hands.passes(days=2)
    await tokens.sweep()
    assert [token.id for token in await listed(tokens, ada)] == [live.token.id]
