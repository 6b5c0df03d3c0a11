"""SQLAlchemy compiles each statement once in a process of the tests, not once for each test's engine.

Comes in: a function that creates engines. Leaves: one whose engines share what they have compiled, as the requests of
a portal do. SQLAlchemy keeps it by the dialect object: so they share that too, the first that has connected.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Dialect, Engine
from sqlalchemy.ext.asyncio import AsyncEngine

_T = TypeVar("_T", bound=Engine | AsyncEngine)
_kept: dict[str, tuple[Dialect, dict[Any, Any]]] = {}


def keep(dialect: Dialect) -> None:
    """What this dialect, which has connected, compiles from now on is kept. A later one of its name is not taken."""
    _kept.setdefault(dialect.name, (dialect, {}))


def sharing(create: Callable[..., _T]) -> Callable[..., _T]:
    """`create`, for engines that use what was compiled before."""

    def created(*arguments: Any, **options: Any) -> _T:
        made = create(*arguments, **options)
        engine = made.sync_engine if isinstance(made, AsyncEngine) else made
        if kept := _kept.get(engine.dialect.name):
            engine.dialect, compiled = kept
            engine.update_execution_options(compiled_cache=compiled)
        return made

    return created
