"""Work that must come to its end even when whoever asked for it is cancelled: settling rows, writing outcomes.

Comes in: a coroutine. Leaves: its result, or a cancelled caller while the work goes on. Next: the lifespan `drain`s
what is left before it closes the database.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

_T = TypeVar("_T")
_running: set[asyncio.Task[Any]] = set()


async def uninterrupted(work: Coroutine[Any, Any, _T]) -> _T:
    """Await `work`; a cancelled caller leaves it running."""
    task = asyncio.create_task(work)
    _running.add(task)  # the event loop keeps only weak references
    task.add_done_callback(_settled)
    return await asyncio.shield(task)


def attend() -> None:
    """Have `drain` wait for the current task too: a request that is cut off still has its end to record."""
    task = asyncio.current_task()
    if task is not None:
        _running.add(task)
        task.add_done_callback(_settled)


async def drain() -> None:
    """Wait for everything still running, and for what that begins."""
    while others := _running - {asyncio.current_task()}:
        await asyncio.wait(others)


def _settled(task: asyncio.Task[Any]) -> None:
    _running.discard(task)
    if not task.cancelled():
        task.exception()  # looked at: whoever still waits gets it, nobody else needs to hear of it
