"""Column types that mean the same on both dialects, for the tables that the features declare.

Times need no type here: SQLModel maps `datetime` to TIMESTAMPTZ on Postgres and to aware UTC on SQLite, and refuses
naive ones.
"""

from typing import Any

from sqlalchemy import BigInteger, Index, Integer, LargeBinary, Text, text
from sqlmodel import Field, SQLModel

# Named constraints can be altered by later migrations, on SQLite too. Must be set before the first table is declared.
SQLModel.metadata.naming_convention = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

BIG_SERIAL = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows only in an INTEGER PRIMARY KEY


def partial_index(name: str, *columns: str, where: str, unique: bool = False) -> Index:
    """An index of the rows that meet `where`.

    A statement uses it if it states the same condition in the same words, with no bound values in it.
    """
    condition = text(where)
    return Index(name, *columns, unique=unique, sqlite_where=condition, postgresql_where=condition)


def binary(**options: Any) -> Any:
    """A column of bytes."""
    return Field(sa_type=LargeBinary, **options)


def long_text(**options: Any) -> Any:
    """A column of text without a length limit."""
    return Field(sa_type=Text, **options)


def big_integer(**options: Any) -> Any:
    """A column of 64-bit integers, for lengths and sizes in bytes."""
    return Field(sa_type=BigInteger, **options)
