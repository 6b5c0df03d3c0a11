"""Background tasks that outlive the request that started them.

Some must run to their end (updates of rows, records of outcomes): `shielded`, `spawn_to_end`. Others may be cancelled
at shutdown: `spawn`. Next: the app's lifespan calls `drain` before it closes the database.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from portal.core.errors import PortalError, PortalStopped

_T = TypeVar("_T")
_GIVE_UP_SECONDS = 0.05
_running: set[asyncio.Task[Any]] = set()
_cancellable: set[asyncio.Task[Any]] = set()
grace_over = asyncio.Event()
"""Set when the process was told to stop and its grace is over: what is cut off from now on, is cut off for that."""


async def shielded(work: Coroutine[Any, Any, _T]) -> _T:
    """The result of `work`. If the caller is cancelled, `work` runs on in the background, and `drain` waits for it."""
    return await asyncio.shield(_start(work, _running))


async def whole(future: asyncio.Future[_T], give_up: Callable[[], None] | None = None) -> _T:
    """The result of a future that goes on if its caller is cancelled: the caller leaves when it has ended.

    `give_up`, where given, asks the future's work to end sooner. It is called again until the work has ended, for it
    may not have begun.
    """
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        while not future.done():
            if give_up is not None:
                give_up()
            with contextlib.suppress(asyncio.CancelledError):  # one is raised at the end
                await asyncio.wait([future], timeout=None if give_up is None else _GIVE_UP_SECONDS)
        future.exception()
        raise


async def acquire_or_release(work: Coroutine[Any, Any, _T], let_go: Callable[[_T], Awaitable[None]]) -> _T:
    """The result of `work`, which acquires something that must be released.

    `work` is never cancelled. If the caller is cancelled, `work` runs to its end, and `let_go(result)` releases its
    result; only then is CancelledError raised in the caller. A PortalError or OSError of either is dropped then.
    Example: `writer = await acquire_or_release(self._begin(key), _LocalWriter.abort)`. An upload that is cancelled
    while its temporary file is being created leaves no such file behind.
    """
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await shielded(_release(task, let_go))
        raise


async def in_time(answer: Awaitable[_T], seconds: float, late: Callable[[], PortalError]) -> _T:
    """The result of `answer`, a call of a backend. Raises `late()` after `seconds`, and the errors of the backend."""
    try:
        async with asyncio.timeout(seconds):
            return await answer
    except TimeoutError:
        raise late() from None


def spawn(work: Coroutine[Any, Any, None]) -> None:
    """Start `work` in the background; no caller awaits it, and `drain` cancels it.

    A part of it that must run to its end goes through `shielded`.
    """
    _start(work, _cancellable)


def spawn_to_end(work: Coroutine[Any, Any, None]) -> None:
    """Start `work` in the background; no caller awaits it, but it must run to its end: `drain` waits for it."""
    _start(work, _running)


@contextmanager
def told_of_stop() -> Iterator[None]:
    """Within the block, raise PortalStopped for a cancellation by a server whose grace is over."""
    try:
        yield
    except asyncio.CancelledError:
        if grace_over.is_set():
            raise PortalStopped from None
        raise


def track_current_task() -> None:
    """Make `drain` wait for the current task too: a request that was cut off still has to record its outcome."""
    task = asyncio.current_task()
    if task is not None:
        _track(task, _running)


async def drain() -> None:
    """Cancel what `spawn` started; wait for every running task, and for the tasks these start meanwhile."""
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
        task.exception()  # marked as retrieved: a caller that still waits gets it, asyncio need not log it
