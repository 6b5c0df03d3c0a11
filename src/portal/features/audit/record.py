"""Writing the record: `write` in the caller's transaction, `Recorder` for an outcome that comes after the last byte.

Comes in: events. Leaves: rows; or, while the database is away, fsynced lines in a journal that `replay` makes rows of.
Where the journal is on a disk that is full too, an outcome is held in memory for the next `replay`.
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

from sqlalchemy.ext.asyncio import AsyncConnection

from portal.core import log
from portal.core.errors import Unavailable
from portal.core.ids import new_id
from portal.db.statements import insert_unless_taken
from portal.db.unit_of_work import Database
from portal.features.audit import outbox
from portal.features.audit.events import Event
from portal.features.audit.models import AuditRow

_log = log.get(__name__)


async def write(connection: AsyncConnection, event: Event) -> None:
    """Put `event` on record in the caller's transaction, and in the outbox of each sink that wants it.

    An event that is there already is not written twice, nor delivered twice.
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


Settle = Callable[[AsyncConnection], Awaitable[None]]


class Recorder:
    """Puts outcomes on record that can no longer stop what they speak of."""

    def __init__(self, database: Database, journal: Path) -> None:
        self._database = database
        self._journal = journal
        self._held: dict[UUID, Event] = {}  # what neither the database nor the journal took yet

    async def outcome(self, event: Event, settle: Settle | None = None) -> None:
        """Write `event` in a transaction of its own; where that fails, in the journal; else hold it for `replay`.

        `settle` is awaited in that transaction: rows that say the same must do without where it fails.
        """
        try:
            async with self._database.write() as connection:
                await write(connection, event)
                if settle is not None:
                    await settle(connection)
        except Exception as error:  # noqa: BLE001  # whatever it is, the outcome must not be lost
            _log.warning("audit_event_journalled", audit_id=str(event.id), error=type(error).__name__)
            try:
                await asyncio.to_thread(_append, self._journal, event.canonical())
            except OSError as full:
                _log.error("audit_event_held", audit_id=str(event.id), event_kind=event.kind.value, errno=full.errno)
                self._held[event.id] = event

    async def replay(self) -> int:
        """Turn what is held and journalled into rows and return how many. Each is there until its row is committed.

        Raises Unavailable.
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
                else:  # kept for people to read; it must not keep the others waiting
                    await asyncio.to_thread(taken.rename, taken.with_name(f"refused-{taken.name}"))
                count += sum(written)
        return count

    async def _written(self, event: Event) -> bool:
        """Whether the database took the event; of two that replay it, one writes it. Raises DatabaseAway."""
        try:
            async with self._database.write() as connection:
                await write(connection, event)
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001  # what it will never take is told, not tried for ever
            _log.error("audit_event_refused", audit_id=str(event.id), error=type(error).__name__)
            return False
        return True


def _append(journal: Path, line: str) -> None:
    with _locked(journal) as file:
        torn = b""
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            torn = b"" if file.read(1) == b"\n" else b"\n"  # a crash in the middle of the last append
        file.write(torn + line.encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def _take(journal: Path) -> list[Path]:
    """Set the journal aside under a name that is never used again; every file that was set aside."""
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
    """The journal, for this process alone: several workers share it. Blocks: for threads, and only for moments."""
    while True:
        descriptor = os.open(journal, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "r+b") as file:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _is_at(journal, descriptor):
                yield file
                return  # else it was set aside while we waited


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
