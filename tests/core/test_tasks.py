"""Work that a cancelled caller leaves behind comes to its end."""

import asyncio

import pytest

from portal.core import tasks


async def test_the_result_or_the_error_reaches_the_caller() -> None:
    async def fail() -> None:
        raise ValueError("no")

    assert await tasks.shielded(asyncio.sleep(0, "done")) == "done"
    with pytest.raises(ValueError, match="no"):
        await tasks.shielded(fail())


async def test_a_cancelled_caller_leaves_the_work_running_until_drained() -> None:
    gate, done = asyncio.Event(), []

    async def work() -> None:
        await gate.wait()
        done.append("settled")

    caller = asyncio.create_task(tasks.shielded(work()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert done == []
    gate.set()
    await tasks.drain()
    assert done == ["settled"]


async def test_a_failure_that_nobody_waits_for_disturbs_nobody() -> None:
    gate = asyncio.Event()

    async def work() -> None:
        await gate.wait()
        raise ValueError("late")

    caller = asyncio.create_task(tasks.shielded(work()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    caller.cancel()
    gate.set()
    await tasks.drain()
    with pytest.raises(asyncio.CancelledError):
        await caller


async def test_draining_nothing_returns_at_once() -> None:
    await tasks.drain()


async def test_what_stands_aside_is_cancelled_when_drained_and_what_it_must_finish_is_not() -> None:
    reached, gate, done = asyncio.Event(), asyncio.Event(), []

    async def must() -> None:
        reached.set()
        await gate.wait()
        done.append("settled")

    async def work() -> None:
        await tasks.shielded(must())
        done.append("went on")

    async def open_gate() -> None:
        await asyncio.wait(tasks._cancellable)
        gate.set()

    tasks.spawn(work())
    await reached.wait()
    await asyncio.gather(tasks.drain(), open_gate())
    assert done == ["settled"]


async def test_what_stands_aside_is_begun_at_once_and_disturbs_nobody() -> None:
    begun = asyncio.Event()

    async def fail() -> None:
        begun.set()
        raise ValueError("no")

    tasks.spawn(fail())
    await begun.wait()
    await tasks.drain()


async def test_what_is_set_aside_while_drained_is_cancelled_too() -> None:
    async def for_ever() -> None:
        await asyncio.Event().wait()

    async def work() -> None:
        await asyncio.sleep(0)
        tasks.spawn(for_ever())

    caller = asyncio.create_task(tasks.shielded(work()))
    await asyncio.sleep(0)
    await tasks.drain()
    await caller
    assert tasks._cancellable == set()
