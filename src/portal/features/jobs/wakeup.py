"""Wake-ups: a runner of this process learns of a new job at once; other processes find it when they poll.

Comes in: a committed job. Leaves: an event that is set.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

_listening: set[asyncio.Event] = set()


@contextmanager
def listening() -> Iterator[asyncio.Event]:
    """An event that each `ring` sets while the block lasts."""
    event = asyncio.Event()
    _listening.add(event)
    try:
        yield event
    finally:
        _listening.discard(event)


def ring() -> None:
    for event in tuple(_listening):
        event.set()
