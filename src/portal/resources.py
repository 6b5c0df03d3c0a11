"""Resources: what a running portal holds, opened once by `bootstrap` and handed down."""

from dataclasses import dataclass, field
from pathlib import Path

from portal.backends.scanners.base import FEED_SECONDS, Scanner, ScannerAway
from portal.core.secrets import Secret
from portal.core.tasks import in_time
from portal.db.unit_of_work import Database
from portal.keyring.keyring import Keyring
from portal.stores.stores import Stores
from portal.strongbox.strongbox import Strongbox


@dataclass(frozen=True, slots=True)
class Resources:
    """`journal` is where audit outcomes wait while the database is away; `max_upload_bytes` caps one file; up to
    `row_bytes` it lies in the database. So many `transfers` at once has this process, and each of its callers. Where
    a scan is not required, an upload is quarantined while a scanner is away.
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

    async def check(self) -> None:
        """Raises the first PortalError of a part that is away. Wants a current database."""
        await self.stores.check()
        for scanner in self.scanners:
            await in_time(scanner.check(), FEED_SECONDS, ScannerAway)
        await self.database.check()
        await self.keyring.check()

    async def aclose(self) -> None:
        """Let go of everything. Idempotent."""
        for scanner in self.scanners:
            await scanner.aclose()
        await self.keyring.aclose()
        await self.stores.aclose()
        await self.database.aclose()
