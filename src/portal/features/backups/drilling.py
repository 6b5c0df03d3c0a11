"""A drill of a backup: which files are opened, and what the signed report says of them, and what it does not.

Comes in: a backup, and what became of the files in the portal that was restored from it. Leaves: a payload for a signed
document of the type `backup-drill`, and an audit row of this portal. Next: `cli/backup_drill` restores and opens.
"""

import random
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from portal.core import clock
from portal.core.clock import rfc3339
from portal.core.errors import PortalError
from portal.core.ids import text_of
from portal.db.unit_of_work import Database
from portal.features.audit import record
from portal.features.audit.events import Detail, Event, EventKind
from portal.features.backups.catalogue import OpenBackup
from portal.features.backups.lines import Head, Rows
from portal.features.files.maintenance import Checked
from portal.features.files.models import Status
from portal.features.signing.keys import SigningKeys

TYPE: Final = "backup-drill"
_LISTED: Final = {Status.READY.value, Status.QUARANTINED.value}
NOT_CHECKED: Final = (
    "the content of the files that were not drawn: `portal backup verify` opens every blob",
    "whether the backup has everything that the portal has by now: it has what there was when it was made",
    "that the keys are kept anywhere but with the portal that drilled: it took the master key from its own settings",
    "the machine, the network and the settings on which a real restore would run",
)


@dataclass(frozen=True, slots=True)
class Sample:
    """The files that a drill opens, with their sizes, and how many there are in the backup."""

    files: int
    chosen: Mapping[UUID, int]


@dataclass(frozen=True, slots=True)
class Drilled:
    """What became of a drill. `rows` is how many were restored, `checked` the files that were opened."""

    backup: OpenBackup
    sample: Sample
    rows: int
    checked: Sequence[Checked]
    started_at: datetime

    @property
    def failed(self) -> int:
        return len(self.bad)

    @property
    def bad(self) -> list[str]:
        """What is wrong with which file: it does not open, or the restored portal does not have all of it."""
        sizes = self.sample.chosen
        wrong = {one.file_id: one.problem or "is not there" for one in self.checked if _is_bad(one, sizes)}
        return [f"{file_id}: {problem}" for file_id, problem in wrong.items()]


async def draw(rows: AsyncGenerator[Head | Rows, None], most: int) -> Sample:
    """Choose files at random, `most` at most: each is as likely as any other."""
    draws, chosen, seen = random.SystemRandom(), list[tuple[UUID, int]](), 0
    async with aclosing(rows):
        async for some in rows:
            if isinstance(some, Rows) and some.table == "files":
                for file in [(row["id"], row["size"]) for row in some.rows if row["status"] in _LISTED]:
                    seen += 1
                    place = len(chosen) if len(chosen) < most else draws.randrange(seen)
                    if place < most:
                        chosen[place : place + 1] = [file]
    return Sample(seen, dict(chosen))


async def report(database: Database, signing: SigningKeys, actor: str, drilled: Drilled) -> bytes:
    """The signed report. The drill is in the audit log then. Raises SigningKeyUnusable, DatabaseAway."""
    details: dict[str, Detail] = {"files": len(drilled.sample.chosen), "failed": drilled.failed, "problem": None}
    async with database.write() as connection:
        text = await signing.sign(connection, TYPE, _payload(actor, drilled))
        event = Event(EventKind.BACKUP_DRILLED, actor, str(drilled.backup.header.id), details=details)
        await record.write(connection, event)
    return text


async def put_on_record(database: Database, actor: str, backup_id: UUID | None, error: PortalError) -> None:
    """Say in the audit log that a drill came to nothing."""
    details: dict[str, Detail] = {"files": 0, "failed": 0, "problem": error.code}
    async with database.write() as connection:
        event = Event(EventKind.BACKUP_DRILLED, actor, text_of(backup_id), details=details)
        await record.write(connection, event)


def _payload(actor: str, drilled: Drilled) -> dict[str, Any]:
    header = drilled.backup.header
    return {
        "actor": actor,
        "backup": {
            "id": str(header.id),
            "created_at": rfc3339(header.created_at),
            "key_id": header.key.provider_key_id,
        },
        "started_at": rfc3339(drilled.started_at),
        "ended_at": rfc3339(clock.now()),
        "passed": drilled.failed == 0,
        "rows": drilled.rows,
        "files": drilled.sample.files,
        "opened": [{"file_id": str(one.file_id), "bytes": one.bytes_read} for one in drilled.checked],
        "bad": drilled.bad,
        "not_checked": list(NOT_CHECKED),
    }


def _is_bad(one: Checked, sizes: Mapping[UUID, int]) -> bool:
    return one.problem is not None or one.file_id is None or one.bytes_read != sizes[one.file_id]
