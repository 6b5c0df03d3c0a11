"""Turns: a few at once, a bounded queue, and nobody who fills it keeps others out of it."""

import asyncio
from collections.abc import Sequence

import pytest

from portal.core.errors import Unavailable
from portal.core.ids import new_id
from portal.core.principal import Origin
from portal.features.identity.hashing_queue import HashingQueue, QueueShare

FLOOD, ANA, BEN = (QueueShare.by_address(Origin(None, f"192.0.2.{number}")) for number in (1, 2, 3))
UPLOADER = QueueShare.by_account(new_id())


class Row:
    """Those who were served, in that order."""

    def __init__(self, turns: HashingQueue) -> None:
        self.turns, self.served = turns, list[QueueShare]()

    async def ask(self, asker: QueueShare) -> None:
        await self.turns.take(asker)
        self.served.append(asker)

    async def queue(self, askers: Sequence[QueueShare]) -> list[asyncio.Task[None]]:
        tasks = [asyncio.create_task(self.ask(asker)) for asker in askers]
        await settled()
        return tasks


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def served(row: Row, tasks: Sequence[asyncio.Task[None]]) -> list[QueueShare]:
    """Everybody who waits, one after the other."""
    while not all(task.done() for task in tasks):
        row.turns.done()
        await settled()
    return row.served


async def test_who_asks_once_is_served_after_one_of_who_asked_thirty_times() -> None:
    row = Row(HashingQueue(1, 64))
    await row.ask(BEN)
    tasks = await row.queue([FLOOD] * 30 + [ANA, BEN])
    assert (await served(row, tasks))[:4] == [BEN, FLOOD, ANA, BEN]


@pytest.mark.parametrize(("first", "then"), [(UPLOADER, ANA), (FLOOD, UPLOADER)])
async def test_signed_in_work_and_strangers_take_turns(first: QueueShare, then: QueueShare) -> None:
    row = Row(HashingQueue(1, 64))
    await row.ask(BEN)
    crowd = [QueueShare.by_address(Origin(None, f"198.51.100.{number}")) for number in range(20)]
    others = [first] * 20 if first.signed_in else crowd
    tasks = await row.queue([*others, then])
    assert then in (await served(row, tasks))[1:4]


async def test_where_the_queue_is_full_who_has_most_in_it_gives_way() -> None:
    row = Row(HashingQueue(2, 8))
    flood = await row.queue([FLOOD] * 8)
    ana = await row.queue([ANA])
    assert isinstance(flood[-1].exception(), Unavailable)
    assert not any(task.done() for task in (*flood[2:-1], *ana))
    assert row.turns.taken == 8
    assert ANA in (await served(row, [*flood, *ana]))[2:4]


async def test_who_has_most_in_a_full_queue_is_refused() -> None:
    row = Row(HashingQueue(2, 8))
    await row.queue([FLOOD] * 8)
    with pytest.raises(Unavailable):
        await row.turns.take(FLOOD)
    assert row.turns.taken == 8


async def test_a_queue_full_of_others_who_ask_once_refuses_everybody() -> None:
    row = Row(HashingQueue(1, 8))
    await row.queue([QueueShare.by_address(Origin(None, f"198.51.100.{number}")) for number in range(8)])
    with pytest.raises(Unavailable):
        await row.turns.take(ANA)


async def test_the_addresses_of_one_network_are_one_who_asks() -> None:
    """Of IPv6 whoever has one address has 2**64 of them."""
    row = Row(HashingQueue(1, 8))
    await row.ask(BEN)
    crowd = [QueueShare.by_address(Origin(None, f"2001:db8:0:1::{number:x}")) for number in range(7)]
    await row.queue(crowd)
    tasks = await row.queue([ANA])
    assert len(set(crowd)) == 1
    assert (await served(row, tasks))[:3] == [BEN, crowd[0], ANA]


@pytest.mark.parametrize("come", [True, False], ids=["whose turn just came", "who waits"])
async def test_who_leaves_loses_no_turn_for_others(*, come: bool) -> None:
    row = Row(HashingQueue(1, 8))
    await row.ask(BEN)
    (leaves, stays) = await row.queue([ANA, FLOOD])
    if come:
        row.turns.done()
    leaves.cancel()
    await settled()
    if not come:
        row.turns.done()
        await settled()
    assert stays.done()
    row.turns.done()
    assert row.turns.taken == 0
    await row.turns.take(ANA)


async def test_who_comes_while_the_newest_is_leaving_takes_their_place() -> None:
    row = Row(HashingQueue(1, 4))
    flood = await row.queue([FLOOD] * 4)
    ana = asyncio.create_task(row.ask(ANA))
    flood[-1].cancel()  # and has not left yet when Ana comes
    await settled()
    assert flood[-1].cancelled()
    assert row.turns.taken == 4
    assert ANA in await served(row, [*flood, ana])


async def test_any_order_of_coming_going_and_leaving_ends_with_every_turn_free() -> None:
    row = Row(HashingQueue(2, 6))
    for number in range(40):
        tasks = await row.queue([(FLOOD, ANA, UPLOADER)[(number + each) % 3] for each in range(9)])
        tasks[number % 9].cancel()
        await settled()
        for task in tasks:
            while not task.done():
                row.turns.done()
                await settled()
        held = sum(task.exception() is None for task in tasks if not task.cancelled())
        while row.turns.taken:
            row.turns.done()
            held -= 1
        assert row.turns._free == 2
