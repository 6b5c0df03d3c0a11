"""The end of a worker process when its parent process ends.

A worker whose parent died (SIGKILL, out of memory) would serve on for ever and occupy the port. It sends SIGTERM to
itself instead, and shuts down as on any SIGTERM. A process that was not started by multiprocessing has no parent here.
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
    """Within the block, the running event loop sees when the parent ends: the kernel then closes the parent's pipe
    (`sentinel`).
    """
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
