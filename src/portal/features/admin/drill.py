"""A drill: whether a master key that no setting names opens the files of this portal, end to end.

Comes in: an actor of the command line, and how many files. Leaves: what became of each, and one audit row. The key is
in memory only. Next: `bootstrap.open_drill` makes it of a set of shares, `portal keys drill` runs it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from portal.core.errors import NotFound
from portal.db.unit_of_work import Database
from portal.features.admin import key_rows
from portal.features.audit import record
from portal.features.audit.events import Detail, Event, EventKind
from portal.features.files.maintenance import Checked, Maintenance
from portal.keyring import repository


@dataclass(frozen=True, slots=True)
class Drill:
    """A drill of one master key, `key_id`."""

    database: Database
    maintenance: Maintenance
    key_id: str

    async def run(self, actor: str, sample: int, advance: Callable[[int], None]) -> list[Checked]:
        """Read random files under the master key, `sample` at most. Raises NotFound where no data key is under it."""
        read = []
        for file_id in await self._chosen(sample):
            read.append(await self.maintenance.read(file_id))
            advance(1)
        details: dict[str, Detail] = {"files": len(read), "failed": sum(one.problem is not None for one in read)}
        async with self.database.write() as connection:
            await record.write(connection, Event(EventKind.MASTER_KEY_DRILLED, actor, self.key_id, details=details))
        return read

    async def _chosen(self, sample: int) -> list[UUID]:
        async with self.database.read() as connection:
            wraps = await repository.count_wraps(connection)
            if self.key_id not in {wrap.provider_key_id for wrap in wraps}:
                raise NotFound(f"no data key of this portal is under the master key of these shares, {self.key_id}")
            return await key_rows.sample_files(connection, self.key_id, sample)
