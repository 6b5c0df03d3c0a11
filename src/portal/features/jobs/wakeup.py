"""The runners of this process are told of new work at once; those of others find it when they next look.

Comes in: a job that was enqueued and committed. Leaves: an event that is set.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

_listening: set[asyncio.Event] = set()


@contextmanager
def listening() -> Iterator[asyncio.Event]:
    """An event that is set by each `ring` while the block lasts."""
    event = asyncio.Event()
    _listening.add(event)
    try:
        yield event
    finally:
        _listening.discard(event)


def ring() -> None:
    for event in tuple(_listening):
        event.set()
