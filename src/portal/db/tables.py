"""The SQLAlchemy table of a row class. SQLModel declares the rows; the repositories write Core statements on tables."""

from sqlalchemy import Table
from sqlmodel import SQLModel


def table(row: type[SQLModel]) -> Table:
    """The table that `row`, a SQLModel class with `table=True`, declares."""
    found: Table = row.__table__  # type: ignore[attr-defined]  # SQLModel adds it to a class with `table=True`
    return found
