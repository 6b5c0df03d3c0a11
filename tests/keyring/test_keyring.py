"""The keyring on both databases: which key, made when, asked for how often, and whose fault a wrong one is."""

import asyncio
from contextlib import aclosing
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import delete, func, select, update
from sqlalchemy.exc import IntegrityError as ConstraintBroken

from portal.app import _checks
from portal.backends.keys.base import Binding, KeyProviderError
from portal.backends.keys.guarded import GuardedKeyProvider
from portal.core import clock
from portal.core.errors import IntegrityError
from portal.core.ids import new_id
from portal.crypto import derive, wrap
from portal.db.unit_of_work import Database
from portal.keyring import keyring as module
from portal.keyring import repository
from portal.keyring.data_key import DataKey
from portal.keyring.keyring import CACHE_ENTRIES, KeyLimits, Keyring
from portal.keyring.models import DataKeyRow
from portal.keyring.repository import WrappedDataKey
from portal.keyring.uses import USES_PER_WRITE

from .counting import CountingProvider

CASE, OTHER_CASE = "case:" + "0a" * 16, "case:" + "0b" * 16
rows: Any = DataKeyRow


@pytest.fixture
def provider() -> CountingProvider:
    return CountingProvider()


@pytest.fixture
def keyring(database: Database, provider: CountingProvider) -> Keyring:
    return Keyring(database, [provider])


class Clock:
    """Both of the keyring's clocks, moved by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monotonic, self._now = 1_000.0, clock.now()
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: self._monotonic))
        monkeypatch.setattr(clock, "now", lambda: self._now)

    def forward(self, **span: float) -> None:
        self._monotonic += timedelta(**span).total_seconds()
        self._now += timedelta(**span)


@pytest.fixture
def hands(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


async def count(database: Database, *where: Any) -> int:
    async with database.read() as connection:
        return int((await connection.execute(select(func.count()).select_from(DataKeyRow).where(*where))).scalar_one())


async def edit(database: Database, key: DataKey, **values: Any) -> None:
    """What someone does who can write to the database and nothing else."""
    async with database.write() as connection:
        await connection.execute(update(DataKeyRow).where(rows.id == key.id).values(**values))


async def row_of(database: Database, key: DataKey) -> WrappedDataKey:
    async with database.read() as connection:
        row = await repository.find(connection, key.id)
    assert row is not None
    return row


async def test_first_use_makes_one_row_and_a_key_of_32_bytes(database: Database, keyring: Keyring) -> None:
    key = await keyring.active(CASE)
    assert (key.scope, len(key.key)) == (CASE, 32)
    assert await count(database) == await count(database, rows.retired_at.is_(None)) == 1
    row = await row_of(database, key)
    assert row.check_value == derive.data_key_check(key.key, key.id)
    assert key.key not in row.wrapped


async def test_a_row_is_stored_only_after_its_key_came_back_from_the_provider_and_a_key_is_used_after_that(
    database: Database, keyring: Keyring, provider: CountingProvider
) -> None:
    committed: list[int] = []

    async def look(key: bytes) -> bytes:
        committed.append(await count(database))
        return key

    provider.answer = look
    await keyring.active(CASE)
    assert (committed, await count(database)) == ([0], 1)
    assert provider.calls == {"wrap": 1, "unwrap": 1}


async def test_a_row_that_could_not_be_committed_gives_no_key(
    database: Database, keyring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("the commit is lost")

    with monkeypatch.context() as patch:
        patch.setattr(repository, "add_unless_active", fail)
        with pytest.raises(RuntimeError, match="lost"):
            await keyring.active(CASE)
    assert await count(database) == 0
    assert (await keyring.active(CASE)).scope == CASE


async def test_the_same_scope_gets_the_same_key_and_another_scope_another(keyring: Keyring) -> None:
    one, again, other = await keyring.active(CASE), await keyring.active(CASE), await keyring.active(OTHER_CASE)
    assert one == again
    assert one.id != other.id
    assert one.key != other.key


async def test_a_key_shows_itself_in_no_repr(keyring: Keyring, database: Database) -> None:
    key = await keyring.active("none")
    row = await row_of(database, key)
    assert "key=" not in repr(key)
    assert str(key.key) not in repr(key)
    assert str(row.wrapped) not in repr(row)


async def test_a_key_that_seals_is_the_key_that_opens(database: Database, provider: CountingProvider) -> None:
    key = await Keyring(database, [provider]).active(CASE)
    assert await Keyring(database, [provider]).get(key.id, CASE) == key


async def test_twenty_first_uses_at_once_end_in_one_key_for_each_scope(
    database: Database, provider: CountingProvider
) -> None:
    keyrings = [Keyring(database, [provider]) for _ in range(4)]
    uses = [ring.active(scope) for ring in keyrings for scope in (CASE, OTHER_CASE) for _ in range(5)]
    keys = set(await asyncio.gather(*uses))
    assert {key.scope for key in keys} == {CASE, OTHER_CASE}
    assert len(keys) == await count(database) == 2


async def test_the_database_itself_refuses_a_second_active_key(database: Database, keyring: Keyring) -> None:
    row = await row_of(database, await keyring.active(CASE))
    second = {name: getattr(row, name) for name in WrappedDataKey.__slots__} | {"id": new_id()}
    with pytest.raises(ConstraintBroken):
        async with database.write() as connection:
            await connection.execute(rows.__table__.insert().values(second))
    assert await count(database) == 1


async def test_the_provider_is_asked_once_in_five_minutes(
    keyring: Keyring, provider: CountingProvider, hands: Clock
) -> None:
    key = await keyring.active(CASE)
    for _ in range(3):
        await asyncio.gather(keyring.active(CASE), keyring.get(key.id, CASE))
        hands.forward(seconds=99.9)
    assert provider.calls["unwrap"] == 1
    hands.forward(seconds=0.3)
    await asyncio.gather(keyring.active(CASE), keyring.get(key.id, CASE))
    assert provider.calls["unwrap"] == 2


async def test_a_key_that_is_known_is_used_for_five_minutes_without_its_provider_and_no_longer(
    keyring: Keyring, provider: CountingProvider, hands: Clock
) -> None:
    async def away(_: bytes) -> bytes:
        raise KeyProviderError(transient=True)

    key = await keyring.active(CASE)
    provider.answer = away
    hands.forward(seconds=299)
    assert await keyring.get(key.id, CASE) == await keyring.active(CASE) == key
    hands.forward(seconds=2)
    for use in (keyring.get(key.id, CASE), keyring.active(CASE)):
        with pytest.raises(KeyProviderError):
            await use


async def test_many_waiters_are_one_call(database: Database, provider: CountingProvider) -> None:
    key = await Keyring(database, [provider]).active(CASE)
    provider.calls.clear()
    ring = Keyring(database, [provider])
    assert await asyncio.gather(*(ring.get(key.id, CASE) for _ in range(10))) == [key] * 10
    assert provider.calls == {"unwrap": 1}


async def test_many_first_uses_are_one_call_of_each_kind(keyring: Keyring, provider: CountingProvider) -> None:
    assert len(set(await asyncio.gather(*(keyring.active(CASE) for _ in range(50))))) == 1
    assert provider.calls == {"wrap": 1, "unwrap": 1}


async def test_a_first_use_that_failed_is_tried_again_though_its_caller_left(
    keyring: Keyring, provider: CountingProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, gate = asyncio.Event(), asyncio.Event()

    async def fail_late(*_: object) -> bytes:
        asked.set()
        await gate.wait()
        raise KeyProviderError

    with monkeypatch.context() as patch:
        patch.setattr(provider, "wrap", fail_late)
        leaver, waiter = (asyncio.create_task(keyring.active(CASE)) for _ in range(2))
        await asked.wait()
        leaver.cancel()
        await asyncio.wait([leaver])
        gate.set()
        with pytest.raises(KeyProviderError):
            await waiter
    assert keyring._making == {}
    assert (await keyring.active(CASE)).scope == CASE


async def test_a_failure_is_not_remembered(keyring: Keyring, provider: CountingProvider) -> None:
    async def fail(_: bytes) -> bytes:
        raise KeyProviderError

    key = await keyring.active(CASE)
    keyring._cache.clear()
    provider.answer, truth = fail, provider.answer
    for _ in range(2):
        with pytest.raises(KeyProviderError):
            await keyring.get(key.id, CASE)
    provider.answer = truth
    assert await keyring.get(key.id, CASE) == key
    assert provider.calls["unwrap"] == 4


WRONG = {
    "another key": bytes(32),
    "31 bytes": bytes(31),
    "33 bytes": bytes(33),
    "nothing": b"",
    "a wrapped key": bytes(60),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=list(WRONG))
async def test_a_wrong_answer_is_the_providers_fault_and_no_alarm_about_files(
    keyring: Keyring, provider: CountingProvider, wrong: bytes
) -> None:
    async def lie(_: bytes) -> bytes:
        return wrong

    key = await keyring.active(CASE)
    keyring._cache.clear()
    provider.answer, truth = lie, provider.answer
    for use in (keyring.active(CASE), keyring.get(key.id, CASE)):
        with pytest.raises(KeyProviderError):
            await use
    provider.answer = truth
    assert await keyring.get(key.id, CASE) == key


async def test_a_wrong_answer_at_the_first_use_stores_nothing_and_the_next_use_is_well(
    database: Database, keyring: Keyring, provider: CountingProvider
) -> None:
    async def lie(_: bytes) -> bytes:
        return bytes(32)

    provider.answer, truth = lie, provider.answer
    with pytest.raises(KeyProviderError):
        await keyring.active(CASE)
    assert await count(database) == 0
    provider.answer = truth
    assert (await keyring.active(CASE)).scope == CASE


@pytest.mark.parametrize("length", [0, 16, 31, 33])
async def test_a_key_of_another_length_is_refused_even_where_its_check_is_right(
    keyring: Keyring, provider: CountingProvider, length: int
) -> None:
    async def lie(_: bytes) -> bytes:
        return bytes(length)

    row, provider.answer = await wrapped_row(provider), lie
    with pytest.raises(KeyProviderError):
        await keyring._unwrapped(replace(row, check_value=derive.data_key_check(bytes(length), row.id)), CASE)


async def test_a_key_of_another_scope_does_not_open(database: Database, keyring: Keyring) -> None:
    key = await keyring.active(CASE)
    for scope in (OTHER_CASE, "none", "", CASE.upper()):
        with pytest.raises(IntegrityError):
            await keyring.get(key.id, scope)
    assert await count(database) == 1


async def test_a_row_moved_to_another_scope_opens_for_neither(database: Database, keyring: Keyring) -> None:
    key = await keyring.active(CASE)
    await edit(database, key, scope=OTHER_CASE)
    with pytest.raises(IntegrityError):
        await keyring.get(key.id, CASE)
    for use in (keyring.get(key.id, OTHER_CASE), keyring.active(OTHER_CASE)):
        with pytest.raises(KeyProviderError):
            await use


async def test_a_missing_row_is_damage(keyring: Keyring) -> None:
    with pytest.raises(IntegrityError):
        await keyring.get(new_id(), "none")


async def test_a_changed_row_does_not_open_and_is_noticed_before_the_cache_runs_out(
    database: Database, keyring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ROW_SECONDS", 0)
    key = await keyring.active(CASE)
    wrapped = (await row_of(database, key)).wrapped
    await edit(database, key, wrapped=wrapped[:-1] + bytes([wrapped[-1] ^ 1]))
    with pytest.raises(KeyProviderError):
        await keyring.get(key.id, CASE)
    await edit(database, key, wrapped=wrapped)
    assert await keyring.get(key.id, CASE) == key


async def test_what_a_row_said_is_believed_for_a_second_and_no_longer(
    database: Database, keyring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1_000.0
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now))
    key = await keyring.active(CASE)
    await keyring.get(key.id, CASE)
    async with database.write() as connection:
        await connection.execute(delete(DataKeyRow))
    now += 0.9
    assert await keyring.get(key.id, CASE) == await keyring.active(CASE) == key
    now += 0.2
    with pytest.raises(IntegrityError):
        await keyring.get(key.id, CASE)
    assert (await keyring.active(CASE)).id != key.id


async def test_the_wrapped_keys_of_two_rows_swapped_open_neither(database: Database, keyring: Keyring) -> None:
    one, two = await keyring.active(CASE), await keyring.active(OTHER_CASE)
    row_one, row_two = await row_of(database, one), await row_of(database, two)
    await edit(database, one, wrapped=row_two.wrapped, check_value=row_two.check_value)
    await edit(database, two, wrapped=row_one.wrapped, check_value=row_one.check_value)
    for key in (one, two):
        with pytest.raises(KeyProviderError):
            await keyring.get(key.id, key.scope)


async def test_an_old_key_is_retired_and_still_opens(database: Database, keyring: Keyring, hands: Clock) -> None:
    old = await keyring.active(CASE)
    hands.forward(days=KeyLimits().days)
    assert await keyring.active(CASE) == old
    hands.forward(seconds=1)
    new = await keyring.active(CASE)
    assert new.id != old.id
    assert new.key != old.key
    assert await keyring.active(CASE) == new
    assert await keyring.get(old.id, CASE) == old
    assert (await row_of(database, old)).retired_at == clock.now()
    assert await count(database, rows.retired_at.is_(None)) == 1


async def test_a_key_that_sealed_enough_files_is_retired_and_still_opens(
    database: Database, provider: CountingProvider
) -> None:
    keyring = Keyring(database, [provider], KeyLimits(files=3))
    used = [await keyring.active(CASE) for _ in range(7)]
    assert [used.index(key) for key in used] == [0, 0, 0, 3, 3, 3, 6]
    assert provider.calls == {"wrap": 3, "unwrap": 3}
    assert await keyring.get(used[0].id, CASE) == used[0]
    assert await count(database, rows.retired_at.is_(None)) == 1


async def test_opening_is_no_use(database: Database, provider: CountingProvider) -> None:
    keyring = Keyring(database, [provider], KeyLimits(files=3))
    key = await keyring.active(CASE)
    for _ in range(10):
        await keyring.get(key.id, CASE)
    assert await keyring.active(CASE) == key


async def test_uses_are_written_in_hundreds_and_forgotten_below(
    database: Database, keyring: Keyring, hands: Clock
) -> None:
    key = await keyring.active(CASE)
    for _ in range(USES_PER_WRITE - 2):
        await keyring.active(CASE)
    hands.forward(seconds=2)
    await keyring.active(CASE)  # the hundredth, and the row was read before it
    assert (await row_of(database, key)).uses == 0
    hands.forward(seconds=2)
    await keyring.active(CASE)
    assert (await row_of(database, key)).uses == USES_PER_WRITE
    hands.forward(seconds=2)
    await keyring.active(CASE)
    assert (await row_of(database, key)).uses == USES_PER_WRITE


async def test_uses_of_other_processes_count_when_they_are_written(
    database: Database, provider: CountingProvider, hands: Clock
) -> None:
    one, other = (Keyring(database, [provider], KeyLimits(files=251)) for _ in range(2))
    key = await one.active(CASE)
    for ring in (one, other):
        for _ in range(USES_PER_WRITE):
            assert await ring.active(CASE) == key
        hands.forward(seconds=2)
        assert await ring.active(CASE) == key
    for _ in range(49):
        assert await other.active(CASE) == key
    assert await other.active(CASE) != key


async def test_of_very_many_keys_the_uses_of_the_oldest_are_forgotten(keyring: Keyring) -> None:
    ids = [new_id() for _ in range(CACHE_ENTRIES + 1)]
    for one in ids:
        keyring._uses.add(one)
    assert (keyring._uses.of(ids[0]), keyring._uses.of(ids[1]), keyring._uses.of(ids[-1])) == (0, 1, 1)


async def test_an_old_key_is_replaced_once_by_many_at_a_time(
    database: Database, provider: CountingProvider, hands: Clock
) -> None:
    old = await Keyring(database, [provider]).active(CASE)
    hands.forward(days=KeyLimits().days + 1)
    keyrings = [Keyring(database, [provider]) for _ in range(10)]
    keys = set(await asyncio.gather(*(ring.active(CASE) for ring in keyrings)))
    assert len(keys) == 1
    assert old not in keys
    assert await count(database) == 2


async def test_after_a_new_master_key_old_data_keys_open_and_seal_no_more(
    database: Database, provider: CountingProvider
) -> None:
    old = await Keyring(database, [provider]).active(CASE)
    newer = CountingProvider()
    ring = Keyring(database, [newer, provider])
    assert await ring.get(old.id, CASE) == old
    for scope in (CASE, OTHER_CASE):
        made = await ring.active(scope)
        assert made.key != old.key
        assert (await row_of(database, made)).provider_key_id == newer.key_id
    assert (await row_of(database, old)).retired_at is not None
    assert (newer.calls["wrap"], provider.calls["wrap"]) == (2, 1)


async def test_two_processes_that_put_another_master_key_first_do_not_replace_each_others_keys_for_ever(
    database: Database, hands: Clock
) -> None:
    one, two = CountingProvider(), CountingProvider()
    rings = Keyring(database, [one, two]), Keyring(database, [two, one])
    for _ in range(20):
        for ring in rings:
            hands.forward(minutes=1)
            await ring.active(CASE)
    assert await count(database) == 1


async def test_a_data_key_wrapped_anew_is_the_same_key_and_seals_no_more(
    database: Database, provider: CountingProvider
) -> None:
    old = await Keyring(database, [provider]).active(CASE)
    newer = CountingProvider()
    before = await row_of(database, old)
    after = await Keyring(database, [newer, provider]).rewrap(before)
    async with database.write() as connection:
        assert await repository.replace_wrap(connection, before, after)
        assert not await repository.replace_wrap(connection, before, after)
    alone = Keyring(database, [newer])
    assert await alone.get(old.id, CASE) == old
    assert (await alone.active(CASE)).id != old.id


@pytest.mark.parametrize("wrong", [bytes(32), b"short"])
async def test_a_data_key_that_does_not_come_back_keeps_its_wrap(
    database: Database, provider: CountingProvider, wrong: bytes
) -> None:
    old = await Keyring(database, [provider]).active(CASE)
    newer = CountingProvider()

    async def answer(_: bytes) -> bytes:
        return wrong

    newer.answer = answer
    with pytest.raises(KeyProviderError):
        await Keyring(database, [newer, provider]).rewrap(await row_of(database, old))


async def test_without_its_master_key_a_data_key_is_away_and_not_damaged(
    database: Database, provider: CountingProvider
) -> None:
    old = await Keyring(database, [provider]).active(CASE)
    ring = Keyring(database, [CountingProvider()])
    for use in (ring.get(old.id, CASE), ring.active(CASE)):
        with pytest.raises(KeyProviderError, match="not configured"):
            await use


async def wrapped_row(provider: CountingProvider, scope: str = CASE) -> WrappedDataKey:
    """A row that was never stored."""
    key, name = wrap.new_key(), new_id()
    wrapped = await provider.wrap(key, Binding(name, scope))
    return WrappedDataKey(name, scope, provider.key_id, wrapped, derive.data_key_check(key, name), clock.now())


async def test_the_cache_holds_a_thousand_keys_and_drops_the_oldest(
    keyring: Keyring, provider: CountingProvider
) -> None:
    stored = [await wrapped_row(provider) for _ in range(CACHE_ENTRIES + 1)]
    for row in stored:
        await keyring._unwrapped(row, CASE)
    assert CACHE_ENTRIES == len(keyring._cache) == 1_000
    provider.calls.clear()
    await keyring._unwrapped(stored[1], CASE)
    await keyring._unwrapped(stored[-1], CASE)
    assert provider.calls["unwrap"] == 0
    await keyring._unwrapped(stored[0], CASE)
    assert provider.calls["unwrap"] == 1


@pytest.mark.usefixtures("hands")  # a clock that is behind the loop's timer, as uvloop's may be
async def test_a_key_leaves_memory_when_its_time_is_over_though_none_is_asked_for(
    keyring: Keyring, provider: CountingProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CACHE_SECONDS", 0.05)
    await keyring._unwrapped(await wrapped_row(provider), CASE)
    assert keyring._cache
    while keyring._cache:  # noqa: ASYNC110  # the loop's own timer ends it
        await asyncio.sleep(0.01)


async def test_a_cached_key_is_for_the_row_it_came_from_alone(keyring: Keyring, provider: CountingProvider) -> None:
    row = await wrapped_row(provider)
    await keyring._unwrapped(row, CASE)
    for changed in (replace(row, id=new_id()), replace(row, wrapped=row.wrapped[::-1])):
        with pytest.raises(KeyProviderError):
            await keyring._unwrapped(changed, CASE)
    with pytest.raises(KeyProviderError):
        await keyring._unwrapped(row, OTHER_CASE)
    with pytest.raises(KeyProviderError, match="not configured"):
        await keyring._unwrapped(replace(row, provider_key_id="another"), CASE)


async def test_a_waiter_that_leaves_does_not_take_the_others_answer_along(
    keyring: Keyring, provider: CountingProvider
) -> None:
    asked, gate = asyncio.Event(), asyncio.Event()

    async def slowly(key: bytes) -> bytes:
        asked.set()
        await gate.wait()
        return key

    row, provider.answer = await wrapped_row(provider), slowly
    first, second = (asyncio.create_task(keyring._unwrapped(row, CASE)) for _ in range(2))
    await asked.wait()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    gate.set()
    assert (await second).id == row.id
    assert await keyring._unwrapped(row, CASE) == await second
    assert provider.calls["unwrap"] == 1


async def test_a_failure_after_every_waiter_left_disturbs_nobody(keyring: Keyring, provider: CountingProvider) -> None:
    asked, gate = asyncio.Event(), asyncio.Event()

    async def fail_late(_: bytes) -> bytes:
        asked.set()
        await gate.wait()
        raise KeyProviderError

    row, truth, provider.answer = await wrapped_row(provider), provider.answer, fail_late
    waiter = asyncio.create_task(keyring._unwrapped(row, CASE))
    await asked.wait()
    waiter.cancel()
    await asyncio.gather(waiter, return_exceptions=True)
    (_, shared), *_ = keyring._cache.values()
    gate.set()
    await asyncio.wait([shared])
    provider.answer = truth
    assert (await keyring._unwrapped(row, CASE)).id == row.id


async def test_check_asks_every_provider_and_closing_forgets_every_key(database: Database) -> None:
    one, two = CountingProvider(), CountingProvider()
    ring = Keyring(database, [one, two])
    await ring.active(CASE)
    await ring.check()
    assert (one.calls["check"], two.calls["check"]) == (1, 1)
    await ring.aclose()
    assert (one.calls["aclose"], two.calls["aclose"]) == (1, 1)
    assert not ring._cache


async def test_closing_ends_a_call_that_runs(database: Database, provider: CountingProvider) -> None:
    ring, asked = Keyring(database, [provider]), asyncio.Event()

    async def never(_: bytes) -> bytes:
        asked.set()
        return await asyncio.Future()

    provider.answer = never
    waiter = asyncio.create_task(ring._unwrapped(await wrapped_row(provider), CASE))
    await asked.wait()
    await ring.aclose()
    assert await asyncio.gather(waiter, return_exceptions=True)
    assert len(asyncio.all_tasks()) == 1


async def test_readiness_is_read_and_costs_no_call(database: Database, provider: CountingProvider) -> None:
    async with aclosing(Keyring(database, [GuardedKeyProvider(provider)])) as ring:
        await ring.active("none")
        await ring.check()
        ring._cache.clear()
        provider.calls.clear()
        resources = SimpleNamespace(database=database, stores=SimpleNamespace(check=None), keyring=ring)
        app: Any = SimpleNamespace(state=SimpleNamespace(portal=SimpleNamespace(resources=resources)))
        for _ in range(10):
            await _checks(app)["key provider"]()
        assert provider.calls == {}
