"""What a request does, counted: noise cannot fake it.

Comes in: a running loop. Leaves: numbers for what happened while a block ran. Next: `in_process` counts a request
of each kind, and a test holds the numbers.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from fastapi import routing
from fastapi.dependencies import utils
from sqlalchemy import event
from sqlalchemy.engine import Engine


@dataclass(slots=True)
class Counts:
    """`transactions` are those that ended well, of readers too; `hops` are calls from another thread into the loop.

    `nodes` are dependencies that FastAPI solved, the route itself among them.
    """

    statements: int = 0
    transactions: int = 0
    hops: int = 0
    nodes: int = 0

    def increase(self, name: str, *_: Any) -> None:
        setattr(self, name, getattr(self, name) + 1)


@contextmanager
def counted() -> Iterator[Counts]:
    """On the running loop, and on every engine of the process."""
    counts, loop = Counts(), asyncio.get_running_loop()
    events = {"before_cursor_execute": "statements", "commit": "transactions"}
    listeners = {name: lambda *_, what=what: counts.increase(what) for name, what in events.items()}
    solve = _calls(counts, "nodes", utils.solve_dependencies)
    for name, listener in listeners.items():
        event.listen(Engine, name, listener)
    with (
        patch.object(loop, "call_soon_threadsafe", _calls(counts, "hops", loop.call_soon_threadsafe)),
        patch.object(utils, "solve_dependencies", solve),
        patch.object(routing, "solve_dependencies", solve),
    ):
        yield counts
    for name, listener in listeners.items():
        event.remove(Engine, name, listener)


def _calls(counts: Counts, what: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def called(*arguments: Any, **more: Any) -> Any:
        counts.increase(what)
        return function(*arguments, **more)

    return called
