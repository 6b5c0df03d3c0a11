"""Which files may have a part in their name, by the index of names.

Comes in: a part of at least three characters. Leaves: ids, or None where the index does not pay. Next: `listing` judges
these files one by one: some may not have the part, or the caller may not see them.

A file with the part has all trigrams of the part. The rarest of them leads to few files; of these, the ones that have
two further trigrams are the answer. Files that came since the index was last brought up to date are its tail: they are
read one by one (docs/adr/0024-a-part-of-a-name-has-an-index.md).
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final
from uuid import UUID

from sqlalchemy import CTE, ColumnElement, Select, String, bindparam, func, literal, select, union_all

from portal.db.connection import Connection
from portal.db.statements import scanning
from portal.db.tables import table
from portal.features.files import name_trigrams, repository
from portal.features.files.models import FileRow, IndexedFileRow, NameIndexRow, NameTrigramRow

SHORTEST: Final = 3
"""Characters of a part that has a trigram."""
FREQUENT: Final = 10_000
"""Files from which on a trigram leads to too many, and a tail is too long: then the listing is walked in its order."""
_COUNTED: Final = 8
_JOINED: Final = 3

_files = table(FileRow)
_indexed = table(IndexedFileRow)
_trigrams = table(NameTrigramRow)
_index = table(NameIndexRow)
_MOST = bindparam("most", type_=_files.c.version.type)
_FEW = bindparam("few", type_=_files.c.version.type)


async def find(connection: Connection, part: str, pattern: str, few: int) -> list[UUID] | None:
    """The files of which some have `part` in their name, and all others do not; None if they are more than `few`.

    Also None where every trigram is frequent. The part has at least SHORTEST characters; `pattern` is it for LIKE.
    """
    keys = _some(name_trigrams.trigrams(part))
    asked = _asked(keys) | {"most": FREQUENT + 1}
    tail, *counts = (await connection.execute(_counts(len(keys)), asked)).one()
    if max(tail, min(counts)) > FREQUENT:
        return None
    rarest = [key for _, key in sorted(zip(counts, keys, strict=True))][:_JOINED]
    asked = _asked(rarest) | {"most": 2 * FREQUENT, "few": few + 1, "name": pattern}  # the tail may have grown since
    found = await connection.execute(_found(len(rarest)), asked)
    ids = list(found.scalars())
    return None if len(ids) > few else ids


def _asked(keys: Sequence[int]) -> dict[str, Any]:
    return {f"key_{number}": key for number, key in enumerate(keys)} | {"block_size": name_trigrams.BLOCK}


def _some(keys: Sequence[int]) -> Sequence[int]:
    """At most as many as are counted, from all over the part."""
    return keys[:: -(-len(keys) // _COUNTED)]


@cache
def _counts(keys: int) -> Select[Any]:
    """How many files are in the tail, and how many have each trigram: each counted up to `most`."""
    tail = _count(_tail().with_only_columns(_files.c.id), "tail")
    return scanning(select(tail, *(_count(_having(f"key_{number}"), "counted") for number in range(keys))))


def _count(found: Select[Any], name: str) -> Any:
    return select(func.count()).select_from(found.limit(_MOST).subquery(name)).scalar_subquery()


@cache
def _found(keys: int) -> Select[Any]:
    """At most `few` files that have all these trigrams, and as many of the tail that have the part."""
    first = _having("key_0").subquery("first")
    has_all = (_has(first, f"key_{number}") for number in range(1, keys))
    numbers = select(first.c.number).where(*has_all).limit(_FEW).subquery("numbers")
    file_id = select(_indexed.c.file_id).where(_indexed.c.number == numbers.c.number).scalar_subquery()
    named = select(file_id.label("file_id")).select_from(numbers)
    tail = _tail().limit(_MOST).subquery("tail")
    recent = select(tail.c.id).where(tail.c.name_folded.like(bindparam("name", type_=String()), escape="/"))
    both = union_all(named, select(recent.limit(_FEW).subquery())).subquery("found")
    return scanning(select(both.c.file_id).distinct())


def _having(key: str) -> Select[Any]:
    """The files that have a trigram, of each block."""
    blocks, rows = _blocks(), _trigrams.alias(f"having_{key}")
    of_block = (rows.c.block == blocks.c.block) & (rows.c.trigram == _key(key))
    return select(rows.c.block, rows.c.number).select_from(blocks.join(rows, of_block))


@cache
def _blocks() -> CTE:
    """The blocks of the index: 0, 1, 2."""
    files = select(_index.c.files).where(_index.c.id == 1).scalar_subquery()
    blocks = select(literal(0).label("block")).cte("blocks", recursive=True)
    return blocks.union_all(select(blocks.c.block + 1).where((blocks.c.block + 1) * bindparam("block_size") < files))


def _has(first: Any, key: str) -> ColumnElement[bool]:
    """Whether the file has the trigram. As a scalar subquery, of which no planner makes a join that reads all rows."""
    other = _trigrams.alias(f"has_{key}")
    row = (other.c.block == first.c.block, other.c.trigram == _key(key), other.c.number == first.c.number)
    return select(other.c.trigram).where(*row).scalar_subquery().is_not(None)


def _key(name: str) -> Any:
    return bindparam(name, type_=_trigrams.c.trigram.type)


def _tail() -> Select[Any]:
    """The listed files that became available with the last one in the index, or later; all if it is empty."""
    earliest = literal(datetime(1, 1, 1, tzinfo=UTC), _index.c.available_at.type)
    last = select(_index.c.available_at).where(_index.c.id == 1).scalar_subquery()
    tail = select(_files.c.id, _files.c.name_folded)
    tail = tail.where(repository.is_listed_everywhere(_files), _files.c.available_at >= func.coalesce(last, earliest))
    return tail.order_by(_files.c.available_at, _files.c.id)
