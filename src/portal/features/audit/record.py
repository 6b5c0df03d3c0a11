"""Writing of the audit log: `write` in the caller's transaction, `Recorder` for outcomes known only after their change.

Comes in: events. Leaves: rows. While the database is unavailable, outcomes are fsynced lines in a journal, and `replay`
turns them into rows. If the journal cannot be written either (disk full), an outcome stays in memory until the next
`replay`.
"""

import asyncio
import contextlib
import fcntl
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from portal.core import log
from portal.core.errors import StorageFull, Unavailable
from portal.core.ids import new_id
from portal.db.connection import Connection
from portal.db.statements import insert_unless_taken
from portal.db.unit_of_work import Database
from portal.features.audit import outbox
from portal.features.audit.events import Event
from portal.features.audit.models import AuditRow

_log = log.get(__name__)


async def write(connection: Connection, event: Event) -> None:
    """Write `event` to the audit log in the caller's transaction, and to the outbox of each sink that wants it.

    Idempotent: an event whose id is in the log already is neither written nor delivered again.
    """
    values = {
        "id": event.id,
        "at": event.at,
        "event": event.kind.value,
        "actor": event.actor,
        "subject": event.subject,
        "body": event.canonical(),
    }
    if await insert_unless_taken(connection, AuditRow, values, unique=["id"]):
        await outbox.add(connection, event)


Settle = Callable[[Connection], Awaitable[None]]


class Recorder:
    """Writes outcomes to the audit log after the fact: for example, how a download ended. Safe for concurrent use."""

    def __init__(self, database: Database, journal: Path) -> None:
        self._database = database
        self._journal = journal
        self._held: dict[UUID, Event] = {}  # events that neither the database nor the journal accepted yet

    async def outcome(self, event: Event, settle: Settle | None = None) -> None:
        """Write `event` in its own transaction; if that fails, to the journal; if that fails too, hold it in memory.

        `settle` runs in the same transaction, to update rows that state the same outcome. If the transaction fails,
        `replay` writes the event later, but never calls `settle`: the caller must be correct without it.
        """
        try:
            async with self._database.write() as connection:
                await write(connection, event)
                if settle is not None:
                    await settle(connection)
        except Exception as error:  # noqa: BLE001  # whatever the error, the outcome must not be lost
            _log.warning("audit_event_journalled", audit_id=str(event.id), error=type(error).__name__)
            try:
                await asyncio.to_thread(_append, self._journal, event.canonical())
            except OSError as full:
                _log.error("audit_event_held", audit_id=str(event.id), event_kind=event.kind.value, errno=full.errno)
                self._held[event.id] = event

    async def replay(self) -> int:
        """Turn held and journalled events into rows. Returns the number of rows. Several workers may replay at once.

        An event stays in memory or in the journal until its row is committed. Raises Unavailable, StorageFull.
        """
        try:
            return await self._replay_held() + await self._replay_journal()
        except OSError as error:
            raise Unavailable from error

    async def _replay_held(self) -> int:
        count = 0
        for event in tuple(self._held.values()):
            count += await self._written(event)
            self._held.pop(event.id, None)
        return count

    async def _replay_journal(self) -> int:
        count = 0
        for taken in await asyncio.to_thread(_take, self._journal):
            with contextlib.suppress(FileNotFoundError):  # another worker was faster
                events = _events(await asyncio.to_thread(taken.read_bytes))
                written = [await self._written(event) for event in events]
                if all(written):
                    await asyncio.to_thread(taken.unlink)
                else:  # kept for the operator to read; it must not block later events
                    await asyncio.to_thread(taken.rename, taken.with_name(f"refused-{taken.name}"))
                count += sum(written)
        return count

    async def _written(self, event: Event) -> bool:
        """False if the database refused the event for good. Of two workers that replay it, one writes it.

        Raises DatabaseAway, StorageFull.
        """
        try:
            async with self._database.write() as connection:
                await write(connection, event)
        except (Unavailable, StorageFull):
            raise
        except Exception as error:  # noqa: BLE001  # an event that is always refused is logged, not retried for ever
            _log.error("audit_event_refused", audit_id=str(event.id), error=type(error).__name__)
            return False
        return True


def _append(journal: Path, line: str) -> None:
    with _locked(journal) as file:
        torn = b""
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            torn = b"" if file.read(1) == b"\n" else b"\n"  # a crash cut the last append short
        file.write(torn + line.encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def _take(journal: Path) -> list[Path]:
    """Rename the journal to a name that is never used again. Returns every journal that was renamed so far."""
    if journal.exists():
        with _locked(journal):
            journal.rename(journal.with_name(f"{journal.name}.{new_id()}"))
    return sorted(journal.parent.glob(f"{journal.name}.*"))


def _events(journal: bytes) -> list[Event]:
    events = []
    for line in filter(None, journal.splitlines()):
        try:
            events.append(Event.from_canonical(line.decode()))
        except (ValueError, KeyError, TypeError):
            _log.error("audit_journal_line_torn", length=len(line))  # its outcome was never acknowledged
    return events


@contextmanager
def _locked(journal: Path) -> Iterator[BinaryIO]:
    """Open the journal under an exclusive lock (flock): several workers share it.

    Blocks until the lock is free: call it in a thread, and hold it only for moments.
    """
    while True:
        descriptor = os.open(journal, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "r+b") as file:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _is_at(journal, descriptor):
                yield file
                return  # else another worker renamed it during the wait


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
