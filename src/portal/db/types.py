"""Column types that both dialects agree on, for the tables the rooms declare.

Times need none: SQLModel maps `datetime` to TIMESTAMPTZ on Postgres and to aware UTC on SQLite, and refuses naive ones.
"""

from typing import Any

from sqlalchemy import BigInteger, Integer, LargeBinary, Text
from sqlmodel import Field, SQLModel

# Constraints with names can be altered later, on SQLite too. Set before any table is declared.
SQLModel.metadata.naming_convention = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

BIG_SERIAL = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows only in an INTEGER PRIMARY KEY


def binary(**options: Any) -> Any:
    """A field of bytes."""
    return Field(sa_type=LargeBinary, **options)


def long_text(**options: Any) -> Any:
    """A field of unbounded text."""
    return Field(sa_type=Text, **options)


def big_integer(**options: Any) -> Any:
    """A field of 64-bit numbers: lengths and sizes."""
    return Field(sa_type=BigInteger, **options)
