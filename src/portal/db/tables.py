"""The SQLAlchemy table behind a row class: SQLModel declares rows, statements are Core's.

Comes in: a class with `table=True`. Leaves: its `Table`. Next: the repositories.
"""

from sqlalchemy import Table
from sqlmodel import SQLModel


def table(row: type[SQLModel]) -> Table:
    """The table that `row` declares."""
    found: Table = row.__table__  # type: ignore[attr-defined]  # SQLModel adds it to a class with `table=True`
    return found
