"""An event loop of one's own, for tests and fixtures that are called with and without one.

Comes in: a coroutine. Leaves: its result.
"""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

_T = TypeVar("_T")


def run(work: Coroutine[Any, Any, _T]) -> _T:
    """Run it to its end on a loop of its own, whether or not this thread has one. Raises what it raises."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()
