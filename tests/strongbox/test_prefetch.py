"""`one_ahead`: the same items in the same order, one of them made early, and a source that is always closed."""

import asyncio
import gc
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import pytest

from portal.core import tasks
from portal.strongbox.reader import prefetch


class Source:
    """Gives numbers, `fails` before one of them, waits for ever before another."""

    def __init__(self, count: int, *, fails: int | None = None, waits: int | None = None) -> None:
        self._count, self._fails, self._waits = count, fails, waits
        self.asked, self.closed = 0, 0

    async def items(self) -> AsyncGenerator[int, None]:
        try:
            for number in range(self._count):
                self.asked += 1
                await asyncio.sleep(0)
                if number == self._fails:
                    raise ConnectionError("away")
                if number == self._waits:
                    await asyncio.Event().wait()
                yield number
        finally:
            await tasks.shielded(self._close())

    async def _close(self) -> None:
        await asyncio.sleep(0)
        self.closed += 1


@pytest.fixture
def unheard() -> list[dict[str, Any]]:
    """What the event loop was told of that nobody looked at."""
    told: list[dict[str, Any]] = []
    return told


async def settle(unheard: list[dict[str, Any]]) -> None:
    await tasks.drain()
    gc.collect()
    await asyncio.sleep(0)
    assert unheard == []


@pytest.fixture(autouse=True)
async def _heard(unheard: list[dict[str, Any]]) -> AsyncGenerator[None, None]:
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unheard.append(context))
    yield
    await settle(unheard)


@pytest.mark.parametrize("count", [0, 1, 2, 7])
async def test_the_items_are_the_same_and_the_source_is_closed(count: int) -> None:
    source = Source(count)
    assert [item async for item in prefetch(source.items())] == list(range(count))
    assert source.closed == 1


async def test_one_item_is_made_while_another_is_used_and_no_more_than_one() -> None:
    source = Source(5)
    async with aclosing(prefetch(source.items())) as items:
        async for item in items:
            for _ in range(10):
                await asyncio.sleep(0)
            assert source.asked == min(item + 2, 5)


@pytest.mark.parametrize("fails", [0, 1, 3])
async def test_an_error_comes_after_the_items_before_it(fails: int) -> None:
    source = Source(5, fails=fails)
    items = prefetch(source.items())
    assert [await anext(items) for _ in range(fails)] == list(range(fails))
    with pytest.raises(ConnectionError):
        await anext(items)
    assert source.closed == 1


@pytest.mark.parametrize("fails", [None, 1])
async def test_who_leaves_early_closes_the_source_and_hears_no_more(fails: int | None) -> None:
    source = Source(5, fails=fails)
    async with aclosing(prefetch(source.items())) as items:
        assert await anext(items) == 0
        for _ in range(10):
            await asyncio.sleep(0)
    assert source.closed == 1


async def test_who_leaves_while_the_next_is_being_made_ends_that() -> None:
    source = Source(5, waits=1)
    async with asyncio.timeout(20), aclosing(prefetch(source.items())) as items:
        assert await anext(items) == 0
    assert source.closed == 1


@pytest.mark.parametrize("waits", [0, 1])
@pytest.mark.parametrize("cancels", [1, 2, 3])
async def test_a_reader_that_is_cancelled_closes_the_source(waits: int, cancels: int) -> None:
    source = Source(5, waits=waits)

    async def read() -> None:
        async with aclosing(prefetch(source.items())) as items:
            async for _ in items:
                pass

    reading = asyncio.ensure_future(read())
    for _ in range(20):
        await asyncio.sleep(0)
    for _ in range(cancels):
        reading.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await reading
    await tasks.drain()
    assert source.closed == 1
