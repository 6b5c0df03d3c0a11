"""Moving to new keys, on both databases: what lies under which, what is brought over, and what is on record."""

import json

import pytest
from sqlalchemy import select

from portal.backends.keys.base import KeyProviderError
from portal.backends.keys.local import LocalKeyProvider
from portal.core import clock
from portal.core.ids import new_id
from portal.core.principal import Role
from portal.core.secrets import Secret
from portal.db.unit_of_work import Database
from portal.features.admin.keys import Keys
from portal.features.audit.models import AuditRow
from portal.features.identity import factor_rows, repository
from portal.features.identity.factors import Factors
from portal.features.identity.repository import User
from portal.features.identity.totp import TotpSecrets
from portal.keyring.keyring import Keyring

SCOPES = ["none", *(f"case:{number:032x}" for number in range(120))]  # more than a page
OLD, NEW = Secret(b"o" * 32), Secret(b"n" * 32)


def keys(database: Database, *providers: LocalKeyProvider, secret_keys: tuple[Secret, ...] = (NEW, OLD)) -> Keys:
    return Keys(database, Keyring(database, providers), Factors(secret_keys))


async def uses(of: Keys) -> list[tuple[str, int]]:
    return [(key.key_id, key.data_keys) for key in (await of.status("system:test")).master_keys]


async def outdated(of: Keys) -> int:
    return (await of.status("system:test")).outdated_authenticators


async def record_of(database: Database, kind: str) -> list[dict[str, object]]:
    async with database.read() as connection:
        found = await connection.execute(select(AuditRow.body).where(AuditRow.event == kind))  # type: ignore[call-overload]
        return [json.loads(body) for (body,) in found]


async def test_every_data_key_is_brought_under_the_first_master_key_and_opens_by_that_alone(database: Database) -> None:
    old, new = LocalKeyProvider.random(), LocalKeyProvider.random()
    before = Keyring(database, [old])
    made = [await before.active(scope) for scope in SCOPES]
    moving = keys(database, new, old)
    assert await uses(moving) == [(new.key_id, 0), (old.key_id, len(SCOPES))]
    assert [done async for done in moving.rewrap("system:test")] == [True] * len(SCOPES)
    assert await uses(moving) == [(new.key_id, len(SCOPES)), (old.key_id, 0)]
    after = Keyring(database, [new])
    for key in made:
        assert await after.get(key.id, key.scope) == key
        assert (await after.active(key.scope)).id != key.id
    events = await record_of(database, "key.rewrapped")
    assert {event["subject"] for event in events} == {str(key.id) for key in made}
    assert events[0]["details"]["key_before"] == old.key_id  # type: ignore[index]
    assert [done async for done in moving.rewrap("system:test")] == []


async def test_what_was_cut_off_goes_on_where_it_stopped(database: Database) -> None:
    old, new = LocalKeyProvider.random(), LocalKeyProvider.random()
    for scope in SCOPES[:5]:
        await Keyring(database, [old]).active(scope)
    begun = keys(database, new, old).rewrap("system:test")
    assert [await anext(begun), await anext(begun)] == [True, True]
    await begun.aclose()
    assert len([done async for done in keys(database, new, old).rewrap("system:test")]) == 3


async def test_a_data_key_without_its_master_key_is_left_and_the_others_are_not(database: Database) -> None:
    lost, old, new = (LocalKeyProvider.random() for _ in range(3))
    await Keyring(database, [lost]).active(SCOPES[0])
    await Keyring(database, [old]).active(SCOPES[1])
    moving = keys(database, new, old)
    assert sorted([done async for done in moving.rewrap("system:test")]) == [False, True]
    assert (await uses(moving))[-1] == (lost.key_id, 1)
    with pytest.raises(KeyProviderError):
        await moving.keyring.active(SCOPES[0])


async def enrolled(database: Database, sealed_with: Secret) -> tuple[User, str]:
    user = User(new_id(), name := new_id().hex, name, "no password", Role.ANALYST, 1, clock.now())
    async with database.write() as connection:
        await repository.add_user(connection, user)
        await factor_rows.put(connection, user.id, TotpSecrets([sealed_with]).seal(user.id, "JBSWY3DPEHPK3PXP"))
    return user, "JBSWY3DPEHPK3PXP"


async def test_authenticators_are_brought_under_the_newest_secret_key(database: Database) -> None:
    users = [await enrolled(database, OLD) for _ in range(103)] + [await enrolled(database, NEW)]
    moving = keys(database, LocalKeyProvider.random())
    assert await outdated(moving) == 103
    assert await moving.reseal() == 103
    assert (await outdated(moving), await moving.reseal()) == (0, 0)
    for user, secret in users:
        async with database.read() as connection:
            sealed = await factor_rows.sealed_of(connection, user.id)
        assert TotpSecrets([NEW]).open(user.id, sealed or b"") == secret


async def test_an_authenticator_that_no_key_opens_stays_as_it_is(database: Database) -> None:
    user, _ = await enrolled(database, Secret(b"x" * 32))
    moving = keys(database, LocalKeyProvider.random())
    assert (await moving.reseal(), await outdated(moving)) == (0, 1)
    async with database.read() as connection:
        assert await factor_rows.sealed_of(connection, user.id) is not None
