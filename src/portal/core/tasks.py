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


async def drain() -> None:
    """Wait for everything still running."""
    while _running:
        await asyncio.wait(_running)


def _settled(task: asyncio.Task[Any]) -> None:
    _running.discard(task)
    if not task.cancelled():
        task.exception()  # looked at: whoever still waits gets it, nobody else needs to hear of it
