"""Moving to a new master key writes the rows of data keys and nothing of any file, on both databases.

Comes in: many files in fewer scopes, under an old master key. Leaves: what was written, table by table.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

from sqlalchemy import event, insert, text

from portal.backends.keys.local import LocalKeyProvider
from portal.core import clock
from portal.core.ids import new_id
from portal.core.principal import NOWHERE, Role
from portal.core.secrets import Secret
from portal.db.unit_of_work import Database
from portal.features.admin.key_jobs import REWRAP
from portal.features.admin.keys import Keys
from portal.features.admin.sealed_secrets import SealedSecrets
from portal.features.files.models import BlobRow, FileRow
from portal.features.identity import repository as accounts
from portal.features.identity.authenticators import Authenticators
from portal.features.identity.repository import User
from portal.features.jobs import execution, queue
from portal.features.jobs.kinds import JobKind
from portal.features.signing.keys import SigningKeys
from portal.keyring.keyring import Keyring

from .amounts import amount
from .conftest import Figures


async def test_rewrapping_writes_exactly_the_rows_of_data_keys(database: Database, figures: Figures) -> None:
    files = amount("REWRAPPED_FILES")
    scopes = max(4, files // 100)
    old, new = LocalKeyProvider.random(), LocalKeyProvider.random()
    await seal(database, Keyring(database, [old]), files, scopes)
    before = await digest(database)
    secret_keys = (Secret(b"s" * 32),)
    sealed = SealedSecrets(database, secret_keys, SigningKeys(database, secret_keys))
    keys = Keys(database, Keyring(database, [new, old]), sealed, Authenticators())
    assert (await keys.rewrap("system:test", NOWHERE)).data_keys == scopes
    with written(database) as rows:
        began = time.monotonic()
        await run(keys)
        seconds = time.monotonic() - began
    assert await digest(database) == before
    assert rows["data_keys"] == rows["audit"] == scopes
    assert set(rows) == {"data_keys", "audit", "jobs"}
    figures(
        database=database.engine.dialect.name,
        files=files,
        rows_of_data_keys=rows["data_keys"],
        rows_of_files=rows["files"] + rows["blobs"],
        seconds=round(seconds, 2),
    )


async def seal(database: Database, keyring: Keyring, files: int, scopes: int) -> None:
    """The rows of so many files, in inboxes alike: only their scopes differ."""
    made = [await keyring.active(f"case:{number:032x}") for number in range(scopes)]
    user = User(new_id(), "owner", "owner", "no password", Role.ANALYST, 1, clock.now())
    rows, blobs = [], []
    for number in range(files):
        key = made[number % scopes]
        row = {"id": new_id(), "owner_id": user.id, "scope": key.scope, "name": "a", "name_folded": "a", "size": 1}
        row |= {"kind": "other", "description": "", "created_at": clock.now(), "version": 1, "status": "ready"}
        rows.append(row | {"data_key_id": key.id, "record": b"record"})
        blob = {"id": new_id(), "file_id": row["id"], "part": 0, "key_generation": 1, "store": "local"}
        blobs.append(blob | {"data_key_id": key.id, "wrapped_key": b"wrapped", "content": b"sealed"})
    async with database.write() as connection:
        await accounts.add_user(connection, user)
        await connection.execute(insert(FileRow), rows)
        await connection.execute(insert(BlobRow), blobs)


async def run(keys: Keys) -> None:
    """Do the job that waits, as a worker does."""
    kind = JobKind(REWRAP, keys.handlers.rewrap)
    claimed = await queue.claim(keys.database, kind, "here")
    assert claimed is not None
    await execution.execute(keys.database, kind, claimed, asyncio.Event())


async def digest(database: Database) -> str:
    """Of every row of a file and its blobs."""
    found = sha256()
    async with database.read() as connection:
        for table in ("files", "blobs"):
            for row in await connection.execute(text(f"SELECT * FROM {table} ORDER BY id")):  # noqa: S608  # of ours
                found.update(repr(tuple(row)).encode())
    return found.hexdigest()


@contextlib.contextmanager
def written(database: Database) -> Iterator[Counter[str]]:
    """How many rows of which table are written while the block lasts."""
    rows: Counter[str] = Counter()

    def count(_connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        words = statement.split()
        if words[0] in {"INSERT", "UPDATE", "DELETE"}:
            rows[words[1] if words[0] == "UPDATE" else words[2]] += cursor.rowcount

    engine = database.engine.sync_engine
    event.listen(engine, "after_cursor_execute", count)
    yield rows
    event.remove(engine, "after_cursor_execute", count)
