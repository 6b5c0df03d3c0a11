"""Signing keys: made once, rotated, published; a private half is sealed in its row and gone with its retirement."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import select, update

from portal.core import clock
from portal.core.errors import IntegrityError
from portal.core.principal import NOWHERE
from portal.core.secrets import Secret
from portal.crypto import ed25519
from portal.db.tables import table
from portal.db.unit_of_work import Database
from portal.features.audit.models import AuditRow
from portal.features.signing import keys as keys_module
from portal.features.signing import repository
from portal.features.signing.documents import NotSigned, verified
from portal.features.signing.keys import SigningKeys, SigningKeyUnusable
from portal.features.signing.models import SigningKeyRow

OLD, NEW = Secret(b"o" * 32), Secret(b"n" * 32)
_rows = table(SigningKeyRow)


def worker(database: Database, *secret_keys: Secret) -> SigningKeys:
    return SigningKeys(database, secret_keys or (NEW,))


async def sign(keys: SigningKeys, database: Database, **payload: Any) -> bytes:
    async with database.write() as connection:
        return await keys.sign(connection, "test-document", payload)


async def public_halves(keys: SigningKeys) -> dict[str, bytes]:
    return {key.id: key.public for key in await keys.everyone()}


async def events(database: Database) -> list[tuple[str, str | None]]:
    rows = table(AuditRow)
    async with database.read() as connection:
        return [(row.event, row.subject) for row in await connection.execute(select(rows.c.event, rows.c.subject))]


async def test_the_first_document_makes_the_key_and_the_next_uses_it(database: Database) -> None:
    keys = worker(database)
    assert await keys.everyone() == []
    documents = [await sign(keys, database, number=number) for number in range(2)]
    (key,) = await keys.everyone()
    assert [verified(text, {key.id: key.public}).payload for text in documents] == [{"number": 0}, {"number": 1}]
    assert await events(database) == [("signing_key.created", key.id)]


async def test_of_workers_at_once_one_makes_the_key(database: Database) -> None:
    texts = await asyncio.gather(*(sign(worker(database), database, number=number) for number in range(5)))
    trusted = await public_halves(worker(database))
    assert len(trusted) == 1
    assert {verified(text, trusted).payload["number"] for text in texts} == set(range(5))


async def test_a_transaction_that_fails_leaves_no_key(database: Database) -> None:
    with pytest.raises(ValueError, match="canonical"):
        await sign(worker(database), database, fraction=0.5)
    assert await worker(database).everyone() == []


async def test_rotation_keeps_the_old_public_half_and_destroys_its_private_one(database: Database) -> None:
    keys = worker(database)
    before = await sign(keys, database)
    new = await keys.rotate("system:test", NOWHERE)
    after = await sign(keys, database)
    live, old = await keys.everyone()
    assert (live.id, live.retired_at, old.sealed) == (new.id, None, None)
    assert old.retired_at is not None
    trusted = await public_halves(keys)
    assert [verified(text, trusted).kid for text in (before, after)] == [old.id, live.id]
    with pytest.raises(NotSigned):
        verified(before, {live.id: live.public})


async def test_of_rotations_at_once_one_key_is_left(database: Database) -> None:
    await asyncio.gather(*(worker(database).rotate("system:test", NOWHERE) for _ in range(4)))
    found = await worker(database).everyone()
    assert len(found) == 4
    assert [key.sealed is None for key in found].count(False) == 1
    assert [key.retired_at is None for key in found].count(True) == 1


async def test_what_is_published_is_some_seconds_old_at_most(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = worker(database)
    assert await keys.published() == ()
    await sign(worker(database), database)
    assert await keys.published() == ()  # nobody makes it read again at once
    monkeypatch.setattr(keys_module, "PUBLISHED_SECONDS", 0)
    (key,) = await keys.published()
    assert "sealed" not in repr(key)


async def test_a_private_half_is_sealed_for_its_own_row(database: Database) -> None:
    keys = worker(database)
    await sign(keys, database)
    (key,) = await keys.everyone()
    forged = ed25519.public_of(ed25519.new_private())
    async with database.write() as connection:  # whoever writes the database gives the private half to another key
        await connection.execute(update(_rows).values(id="x" * 43, public=forged))
    with pytest.raises(SigningKeyUnusable):
        await sign(keys, database)
    assert key.sealed is not None
    assert len(key.sealed) == 8 + 12 + 32 + 16


async def test_the_private_half_moves_to_the_newest_secret_key(database: Database) -> None:
    await sign(worker(database, OLD), database)
    both = worker(database, NEW, OLD)
    async with database.write() as connection:
        assert await both.count_outdated(connection) == 1
        assert await both.reseal(connection) == 1
        assert await both.reseal(connection) == await both.count_outdated(connection) == 0
    trusted = await public_halves(both)
    assert verified(await sign(worker(database, NEW), database), trusted).type == "test-document"
    with pytest.raises(SigningKeyUnusable):
        await sign(worker(database, OLD), database)


async def test_a_key_whose_secret_key_is_lost_signs_nothing_until_it_is_rotated(database: Database) -> None:
    await sign(worker(database, OLD), database)
    lost = worker(database, NEW)
    async with database.write() as connection:
        assert await lost.reseal(connection) == 0
        assert await lost.count_outdated(connection) == 1
    with pytest.raises(SigningKeyUnusable):
        await sign(lost, database)
    await lost.rotate("system:test", NOWHERE)
    assert verified(await sign(lost, database), await public_halves(lost)).payload == {}


async def test_a_reseal_never_brings_back_a_key_that_was_rotated_meanwhile(database: Database) -> None:
    await sign(worker(database, OLD), database)
    (key,) = await worker(database, OLD).everyone()
    await worker(database, OLD).rotate("system:test", NOWHERE)
    async with database.write() as connection:
        assert not await repository.reseal(connection, key, b"sealed anew")
    assert {key.sealed for key in await worker(database).everyone()} >= {None}


async def test_an_edited_row_is_damage(database: Database) -> None:
    await sign(worker(database), database)
    async with database.write() as connection:
        await connection.execute(update(_rows).values(sealed=b"\x00" * 68, created_at=clock.now()))
    with pytest.raises((SigningKeyUnusable, IntegrityError)):
        await sign(worker(database), database)
