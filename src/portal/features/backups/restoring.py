"""Restoring a backup into an empty portal: its tables, then its blobs, then its rows in one transaction.

Comes in: a backup at its target; a database without rows, and a blob store. Leaves: a whole portal. Until the last
transaction the database knows no blob store, and no portal starts on it: what a kill leaves is an empty portal, into
which the same backup can be restored again, without copying a blob twice. Next: `cli/backup`, `drill`.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from collections.abc import Set as AbstractSet
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from sqlalchemy import BigInteger, Boolean, LargeBinary, MetaData, Text, Uuid, column, delete, insert, select, text
from sqlalchemy import table as table_of
from sqlmodel.sql.sqltypes import UTCDateTime

from portal.backends.blobs.base import BlobMissing, BlobStore
from portal.core.errors import IntegrityError
from portal.core.ids import new_id
from portal.db.connection import Connection
from portal.db.statements import hold_alone, scanning
from portal.db.tables import table
from portal.db.unit_of_work import Database
from portal.features.audit import record
from portal.features.audit.events import Event, EventKind
from portal.features.backups import copying, snapshot
from portal.features.backups.catalogue import OpenBackup, RestoreRefused
from portal.features.backups.lines import Head, Rows
from portal.features.backups.parts import Contents, rows
from portal.features.backups.verifying import wrong_with
from portal.keyring.keyring import Keyring
from portal.stores import repository as stores
from portal.stores.models import StoreRow
from portal.strongbox.model import IN_ROW, SealedPart

_TYPES: Final[dict[str, Any]] = {
    "uuid": Uuid(),
    "time": UTCDateTime(),
    "bytes": LargeBinary(),
    "text": Text(),
    "int": BigInteger(),
    "bool": Boolean(),
}
_NUMBERED: Final = "SELECT setval(pg_get_serial_sequence('{0}', '{1}'), max({1})) FROM {0}"  # ours: no input


@dataclass(frozen=True, slots=True)
class Schema:
    """What a restore needs to know of migrations, which are above the features: the revision of the database and of
    this release, and the way to a revision.
    """

    revision: Callable[[], Awaitable[str | None]]
    newest: str
    migrate: Callable[[str], Awaitable[None]]


@dataclass(slots=True)
class Restored:
    """What was restored. `bad` is the number of blobs that are missing or damaged, `named` the first of them."""

    id: UUID
    rows: int = 0
    blobs: int = 0
    copied: int = 0
    bad: int = 0
    named: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Restoring:
    """The restoring into one empty portal."""

    database: Database
    keyring: Keyring
    store: BlobStore
    metadata: MetaData
    schema: Schema
    only: AbstractSet[UUID] | None = None
    """The files whose blobs are restored, in a drill; None for all."""

    async def restore(
        self,
        target: BlobStore,
        backup: OpenBackup,
        actor: str,
        progress: Callable[[int], None],
        *,
        damaged: bool = False,
    ) -> Restored:
        """Restore the backup. With `damaged`, blobs that are missing or damaged do not stop it.

        Raises RestoreRefused for a portal that is not empty, a backup of a later release, or, before any row is there,
        blobs that are not whole; IntegrityError for a damaged snapshot; Unavailable, StorageFull.
        """
        await self._prepare(await _revision(target, backup))
        done = Restored(backup.header.id)
        await self._make_store(target)
        await self._copy(target, backup, done, progress)
        if done.bad and not damaged:
            raise RestoreRefused(
                f"{done.bad} blob(s) are not whole: {'; '.join(done.named[:3])}. Nothing was restored."
            )
        async with self.database.write() as connection:
            await hold_alone(connection, "restore")
            await self._require_empty(connection)  # still: another restore may have been faster
            await self._fill(connection, rows(target, backup), backup, done)
            details = {"rows": done.rows, "blobs": done.blobs, "bad": done.bad}
            event = Event(EventKind.BACKUP_RESTORED, actor, str(done.id), details=dict(details))
            await record.write(connection, event)
        await self.schema.migrate("head")
        return done

    async def _prepare(self, revision: str) -> None:
        if revision > self.schema.newest:
            raise RestoreRefused(f"The backup is of a later release: its database is at revision {revision}.")
        found = await self.schema.revision()
        if found is None:
            await self.schema.migrate(revision)
        elif found != revision:
            raise RestoreRefused(
                f"The database is at revision {found}, the backup at {revision}: give an empty database."
            )
        async with self.database.write() as connection:
            await self._require_empty(connection)
            await connection.execute(delete(table(StoreRow)))  # from here on no portal starts on this database

    async def _require_empty(self, connection: Connection) -> None:
        for each in self.metadata.sorted_tables:
            if each.name != StoreRow.__tablename__ and (await connection.execute(select(each).limit(1))).first():
                raise RestoreRefused(f"The database has rows already, in {each.name}: restore into an empty one.")

    async def _make_store(self, target: BlobStore) -> None:
        found = await self.store.identify()
        if found == target.id:
            raise RestoreRefused("The portal's blob store is the backup itself.")
        if found is None:
            await self.store.found(new_id())

    async def _copy(
        self, target: BlobStore, backup: OpenBackup, done: Restored, progress: Callable[[int], None]
    ) -> None:
        contents = Contents(self.keyring)
        async with aclosing(contents.parts(rows(target, backup))) as parts:
            async for part in parts:
                if self.only is not None and part.context.file_id not in self.only:
                    continue
                done.blobs += 1
                if (why := await self._keep(target, part, contents, done)) is not None:
                    done.bad += 1
                    done.named = [*done.named, why][:100]
                progress(part.stored_length)

    async def _keep(self, target: BlobStore, part: SealedPart, contents: Contents, done: Restored) -> str | None:
        """Have one blob in the portal's store, and open it there. What is wrong with it, if anything is.

        One that is there already goes only for one that opens: it may be the last copy, or its key is what is wrong.
        """
        if part.store == IN_ROW or await self.store.stat(part.key) is not None:
            why = await wrong_with(self.store, part, contents)
            if why is None or part.store == IN_ROW or await wrong_with(target, part, contents) is not None:
                return why
            await self.store.delete(part.key)
        try:
            await copying.transfer(target, self.store, part.key, part.stored_length)
        except BlobMissing:
            return f"blob {part.key} of file {part.context.file_id} is missing"
        except IntegrityError:
            return f"blob {part.key} of file {part.context.file_id} is damaged"
        done.copied += 1
        return await self._opened(part, contents)

    async def _opened(self, part: SealedPart, contents: Contents) -> str | None:
        """What is wrong with a copy that was just made; then it goes, so that a whole one can take its place."""
        why = await wrong_with(self.store, part, contents)
        if why is not None:
            await self.store.delete(part.key)
        return why

    async def _fill(
        self, connection: Connection, found: AsyncGenerator[Head | Rows, None], backup: OpenBackup, done: Restored
    ) -> None:
        async with aclosing(found):
            async for some in found:
                if isinstance(some, Rows):
                    await _insert(connection, some, [self._adapted(row, some.table, backup) for row in some.rows])
                    done.rows += len(some.rows)
        await stores.add(connection, self.store.id, self.store.scheme)
        await self._number(connection)

    def _adapted(self, row: Any, name: str, backup: OpenBackup) -> dict[str, Any]:
        """The row as it is to be here: in this store. The backup itself is whole, which its own rows do not know."""
        if name == "blobs" and row["store"] != IN_ROW:
            return dict(row) | {"store": self.store.id.hex}
        if name == "backups" and row["id"] == backup.header.id:
            return dict(row) | {"provider_key_id": backup.header.key.provider_key_id}
        return dict(row)

    async def _number(self, connection: Connection) -> None:
        """Let Postgres go on numbering behind the rows; SQLite does so by itself."""
        if connection.dialect.name == "postgresql":
            for each in snapshot.travelling(self.metadata):
                numbered = each.autoincrement_column
                if numbered is not None:
                    await connection.execute(scanning(text(_NUMBERED.format(each.name, numbered.name))))


async def _insert(connection: Connection, some: Rows, adapted: list[dict[str, Any]]) -> None:
    into = table_of(some.table, *(column(name, _TYPES[kind]) for name, kind in some.kinds.items()))
    await connection.execute(scanning(insert(into)), adapted)


async def _revision(target: BlobStore, backup: OpenBackup) -> str:
    async with aclosing(rows(target, backup)) as found:
        async for some in found:
            if isinstance(some, Head):
                return some.revision
    raise IntegrityError
