"""A worker's tie to the process that started it: without it the worker would serve on for ever, and hold the port.

Comes in: the end of the parent, however it came (SIGKILL, out of memory). Leaves: SIGTERM to this process, which then
stops as if it had been told to. A process that nobody started as a worker is tied to nothing.
"""

import asyncio
import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from portal.core import log

_log = log.get(__name__)


@contextmanager
def tied_to_parent() -> Iterator[None]:
    """The running loop is told when the parent ends: its pipe (`sentinel`) is closed by the kernel then."""
    parent = multiprocessing.parent_process()
    if parent is None:
        yield
        return
    loop, pipe = asyncio.get_running_loop(), parent.sentinel
    loop.add_reader(pipe, _end, loop, pipe)
    try:
        yield
    finally:
        loop.remove_reader(pipe)


def _end(loop: asyncio.AbstractEventLoop, pipe: int) -> None:
    loop.remove_reader(pipe)
    _log.error("parent_gone", pid=os.getpid())
    os.kill(os.getpid(), signal.SIGTERM)
