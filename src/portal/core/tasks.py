"""Work that outlives whoever asked for it: what must come to its end (settling rows, writing outcomes), what need not.

Comes in: a coroutine. Leaves: its result, or a cancelled caller while the work goes on. Next: the lifespan `drain`s
what is left before it closes the database.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

_T = TypeVar("_T")
_running: set[asyncio.Task[Any]] = set()
_aside: set[asyncio.Task[Any]] = set()


async def uninterrupted(work: Coroutine[Any, Any, _T]) -> _T:
    """Await `work`; a cancelled caller leaves it running."""
    return await asyncio.shield(_begun(work, _running))


def aside(work: Coroutine[Any, Any, None]) -> None:
    """Begin `work` that nobody waits for: `drain` cancels it. What of it must come to its end is `uninterrupted`."""
    _begun(work, _aside)


def attend() -> None:
    """Have `drain` wait for the current task too: a request that is cut off still has its end to record."""
    task = asyncio.current_task()
    if task is not None:
        _kept(task, _running)


async def drain() -> None:
    """Wait for everything still running, and for what that begins."""
    while others := (_running | _aside) - {asyncio.current_task()}:
        for task in _aside:
            task.cancel()
        await asyncio.wait(others)


def _begun(work: Coroutine[Any, Any, _T], among: set[asyncio.Task[Any]]) -> asyncio.Task[_T]:
    task = asyncio.create_task(work)
    _kept(task, among)
    return task


def _kept(task: asyncio.Task[Any], among: set[asyncio.Task[Any]]) -> None:
    among.add(task)  # the event loop keeps only weak references
    task.add_done_callback(_settled)


def _settled(task: asyncio.Task[Any]) -> None:
    _running.discard(task)
    _aside.discard(task)
    if not task.cancelled():
        task.exception()  # looked at: whoever still waits gets it, nobody else needs to hear of it
