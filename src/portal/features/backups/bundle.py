"""The key bundle: of a snapshot only what opens blobs. With it and the key provider a blob opens without a database.

Comes in: the rows of a snapshot, as they pass. Leaves: lines of the same form, with fewer tables and columns. Next:
`creating` seals them beside the snapshot; `bundle_file` copies and reads them.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Final

from portal.features.backups import lines
from portal.features.backups.lines import Head, Rows

KEPT: Final = {
    "data_keys": ("id", "scope", "provider_key_id", "wrapped", "check_value", "created_at"),
    "cases": ("id", "number", "title"),
    "files": ("id", "scope", "name", "data_key_id", "size", "sha256", "record"),
    "blobs": (
        "id",
        "file_id",
        "part",
        "key_generation",
        "data_key_id",
        "wrapped_key",
        "commitment",
        "plain_length",
        "stored_length",
    ),
}
"""The columns that a bundle has, by table."""


async def filtering(
    found: AsyncGenerator[Head | Rows, None], write: Callable[[bytes], Awaitable[None]]
) -> AsyncGenerator[Head | Rows, None]:
    """What was found, all of it, while the bundle is written from it."""
    count, table = 0, ""
    async with aclosing(found):
        async for some in found:
            if isinstance(some, Head):
                await write(lines.head_line(some.revision))
            elif some.table in KEPT:
                kinds = {name: some.kinds[name] for name in KEPT[some.table]}
                head = b"" if some.table == table else lines.table_line(some.table, kinds)
                await write(head + b"".join([lines.row_line(row, kinds) for row in some.rows]))
                count, table = count + len(some.rows), some.table
            yield some
    await write(lines.end_line(count))
