"""The trigrams of file names: which a name has, and their rows in the index of names.

Comes in: names as searches compare them (`repository.folded`), and the caller's connection. Leaves: numbers, and rows
in `name_trigrams`. Next: `repository` when a name changes, `name_index` for files that are new to the index,
`name_lookup`.
"""

from collections.abc import Collection, Iterable
from typing import Final
from uuid import UUID

from sqlalchemy import bindparam, delete, select

from portal.db.connection import Connection
from portal.db.statements import insert_missing, scanning
from portal.db.tables import table
from portal.features.files.models import IndexedFileRow, NameTrigramRow

BLOCK: Final = 4_096
"""Files of one block: their rows lie together, so that a batch of new files writes few pages of a large index."""
_PRIME: Final = 2**31 - 1

_indexed = table(IndexedFileRow)
_trigrams = table(NameTrigramRow)
_NUMBER = select(_indexed.c.number).where(_indexed.c.file_id == bindparam("file"))
_KEY = tuple(_trigrams.c)
_REMOVE = scanning(delete(_trigrams).where(*(column == bindparam(f"of_{column.name}") for column in _KEY)))


def trigrams(folded: str) -> list[int]:
    """The trigrams of a name: each three characters in a row as a number, in their order, each once.

    A number has 31 bits, so that a few trigrams share one: a name with one of them may not have the other.
    """
    points = [ord(character) for character in folded]
    runs = zip(points, points[1:], points[2:], strict=False)
    return list(dict.fromkeys((first << 42 | second << 21 | third) % _PRIME for first, second, third in runs))


async def add(connection: Connection, names: Iterable[tuple[int, str]]) -> None:
    """Insert the rows that these names lack. Each has its file's number in the index."""
    keys = ((number // BLOCK, trigram, number) for number, name in names for trigram in trigrams(name))
    rows = [{"block": block, "trigram": trigram, "number": number} for block, trigram, number in sorted(keys)]
    await insert_missing(connection, _trigrams, rows)


async def replace(connection: Connection, file_id: UUID, before: str, after: str) -> None:
    """The file is named `after` and no longer `before`. If it is in the index, nothing of the old name stays there."""
    number = await connection.scalar(_NUMBER, {"file": file_id})
    if number is not None:
        await _remove(connection, number, set(trigrams(before)) - set(trigrams(after)))
        await add(connection, [(number, after)])


async def _remove(connection: Connection, number: int, gone: Collection[int]) -> None:
    if gone:
        of = {"of_block": number // BLOCK, "of_number": number}
        await connection.execute(_REMOVE, [{**of, "of_trigram": trigram} for trigram in sorted(gone)])
