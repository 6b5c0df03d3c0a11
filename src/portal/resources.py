"""Resources: the backends and limits of a running portal, opened once by `bootstrap` and passed to the services."""

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from portal.backends.scanners.base import FEED_SECONDS, Scanner, ScannerAway
from portal.core.secrets import Secret
from portal.core.tasks import in_time
from portal.db.reasons import reason
from portal.db.unit_of_work import Database
from portal.keyring.keyring import Keyring
from portal.stores.stores import Stores
from portal.strongbox.strongbox import Strongbox


@dataclass(frozen=True, slots=True)
class Resources:
    """The resources of one process.

    `journal` is the file of audit outcomes that wait while the database is unavailable. `max_upload_bytes` is the
    limit of one file; a file of at most `row_bytes` is stored in the database. `transfers` is the limit of transfers at
    once in this process, `transfers_per_caller` the limit of one account or link. If no scan is required, an upload is
    quarantined while a scanner is unavailable. The bytes of a deleted file stay for `delete_grace`.
    """

    database: Database
    stores: Stores
    keyring: Keyring
    scanners: tuple[Scanner, ...]
    strongbox: Strongbox
    secret_keys: tuple[Secret, ...] = field(repr=False)
    journal: Path
    max_upload_bytes: int
    row_bytes: int
    transfers_per_caller: int = 64
    transfers: int = 128
    scan_required: bool = True
    delete_grace: timedelta = timedelta(0)

    async def check(self) -> tuple[str, ...]:
        """The warnings of the scanners. Raises the first PortalError of an unavailable part.

        The database must be at the current revision. An unavailable scanner is a warning if no scan is required.
        """
        await self.stores.check()
        warnings = [await self._checked(scanner) for scanner in self.scanners]
        await self.database.check()
        await self.keyring.check()
        return tuple(filter(None, warnings))

    async def _checked(self, scanner: Scanner) -> str | None:
        try:
            await in_time(scanner.check(), FEED_SECONDS, ScannerAway)
        except ScannerAway as away:
            if self.scan_required:
                raise
            return f"a scanner is unavailable ({reason(away)}): until it is back, every upload is quarantined"
        return scanner.warning

    async def aclose(self) -> None:
        """Close everything. Idempotent."""
        for scanner in self.scanners:
            await scanner.aclose()
        await self.keyring.aclose()
        await self.stores.aclose()
        await self.database.aclose()
