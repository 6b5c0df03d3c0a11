"""Work that outlives whoever asked for it: what must come to its end (settling rows, writing outcomes), what need not.

Comes in: a coroutine. Leaves: its result, or a cancelled caller while the work goes on. Next: the lifespan `drain`s
what is left before it closes the database.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from portal.core.errors import PortalError

_T = TypeVar("_T")
_running: set[asyncio.Task[Any]] = set()
_cancellable: set[asyncio.Task[Any]] = set()


async def shielded(work: Coroutine[Any, Any, _T]) -> _T:
    """Await `work`; a cancelled caller leaves it running."""
    return await asyncio.shield(_start(work, _running))


async def acquire_or_release(work: Coroutine[Any, Any, _T], let_go: Callable[[_T], Awaitable[None]]) -> _T:
    """What `work` gives. It cannot be stopped midway: for a caller that is cancelled, `let_go` has what it gave."""
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await shielded(_release(task, let_go))
        raise


def spawn(work: Coroutine[Any, Any, None]) -> None:
    """Begin `work` that nobody waits for: `drain` cancels it. What of it must come to its end is `uninterrupted`."""
    _start(work, _cancellable)


def spawn_to_end(work: Coroutine[Any, Any, None]) -> None:
    """Begin `work` that nobody waits for and that must come to its end all the same: `drain` waits for it."""
    _start(work, _running)


def track_current_task() -> None:
    """Have `drain` wait for the current task too: a request that is cut off still has its end to record."""
    task = asyncio.current_task()
    if task is not None:
        _track(task, _running)


async def drain() -> None:
    """Wait for everything still running, and for what that begins."""
    while others := (_running | _cancellable) - {asyncio.current_task()}:
        for task in _cancellable:
            task.cancel()
        await asyncio.wait(others)


async def _release(task: asyncio.Task[_T], let_go: Callable[[_T], Awaitable[None]]) -> None:
    with contextlib.suppress(PortalError, OSError):
        await let_go(await task)


def _start(work: Coroutine[Any, Any, _T], among: set[asyncio.Task[Any]]) -> asyncio.Task[_T]:
    task = asyncio.create_task(work)
    _track(task, among)
    return task


def _track(task: asyncio.Task[Any], among: set[asyncio.Task[Any]]) -> None:
    among.add(task)  # the event loop keeps only weak references
    task.add_done_callback(_settled)


def _settled(task: asyncio.Task[Any]) -> None:
    _running.discard(task)
    _cancellable.discard(task)
    if not task.cancelled():
        task.exception()  # looked at: whoever still waits gets it, nobody else needs to hear of it
