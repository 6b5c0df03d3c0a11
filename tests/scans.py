"""Refuses a statement of the portal that scans a table on the event loop: SQLite's plan of each statement, once.

Comes in: an engine of SQLite. Leaves: an AssertionError in the statement that reads a whole table and is not marked as
`scanning`. Statements that a test makes itself may do so.
"""

import threading
from typing import Any

from sqlalchemy import event

from portal.db.connection import Engine
from portal.tables import metadata

from . import authors

_SMALL = {"stores"}  # an operator adds a handful
_sound: set[str] = set()


def refuse(engine: Engine) -> None:
    """Look at each statement that this engine executes from now on."""
    event.listen(engine.sync_engine, "before_cursor_execute", _look)


def _look(connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
    if statement in _sound or threading.current_thread() is not threading.main_thread():
        return
    if statement.startswith(("SELECT", "INSERT", "UPDATE", "DELETE")):
        values = parameters[0] if many else parameters
        plan = connection.connection.dbapi_connection.execute(f"EXPLAIN QUERY PLAN {statement}", values)
        scanned = {step.split()[1] for *_, step in plan if step.startswith("SCAN ")}
        assert not scanned & (set(metadata.tables) - _SMALL) or not authors.of_statement().startswith("portal."), (
            f"not marked: {statement}"
        )
    _sound.add(statement)
