"""Moving to new keys: how much lies under each, and bringing everything under the newest.

Comes in: a command of the operator's. Leaves: counts, and one audit row for each data key that was wrapped anew.
Cut off anywhere, it goes on where it stopped: what is done is no longer wrapped by another key. Next: `keyring`,
`identity`.
"""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from uuid import UUID

from portal.db.unit_of_work import Database
from portal.features.audit import record
from portal.features.audit.events import Event, EventKind
from portal.features.identity.factors import Factors
from portal.keyring import repository
from portal.keyring.keyring import Keyring
from portal.keyring.repository import WrappedDataKey
from portal.resources import Resources

_PAGE = 100


@dataclass(frozen=True, slots=True)
class MasterKeyUse:
    """`key_id` is no secret. Without `configured` nothing under that key opens."""

    key_id: str
    configured: bool
    wraps: bool
    data_keys: int


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one portal."""

    database: Database
    keyring: Keyring
    factors: Factors

    async def uses(self) -> list[MasterKeyUse]:
        """Every master key that is configured or wraps a data key; the one that wraps new ones comes first."""
        async with self.database.read() as connection:
            counted = await repository.count_by_provider(connection)
        configured = self.keyring.provider_key_ids
        names = [*configured, *sorted(set(counted) - set(configured))]
        return [MasterKeyUse(name, name in configured, name == names[0], counted.get(name, 0)) for name in names]

    async def under_old_secret_keys(self) -> int:
        """Authenticators whose secrets the newest SECRET_KEY did not seal."""
        async with self.database.read() as connection:
            return await self.factors.count_outdated(connection)

    async def rewrap(self, actor: str) -> AsyncGenerator[bool, None]:
        """Bring each data key under the first master key: True for each that was, False for one whose master key is
        not configured. A data key that was still in use seals no more: new files get a new one.

        Raises KeyProviderError, DatabaseAway.
        """
        first, after = self.keyring.provider_key_ids[0], None
        while page := await self._page(first, after):
            for row in page:
                yield row.provider_key_id in self.keyring.provider_key_ids and await self._rewrap(row, actor)
            after = page[-1].id

    async def reseal(self) -> int:
        """Bring authenticators' secrets under the newest SECRET_KEY; how many were. What opens by no key stays."""
        resealed, after = 0, None
        while True:
            async with self.database.write() as connection:
                done, after = await self.factors.reseal_page(connection, after, _PAGE)
            resealed += done
            if after is None:
                return resealed

    async def _page(self, first: str, after: UUID | None) -> list[WrappedDataKey]:
        async with self.database.read() as connection:
            return await repository.wrapped_by_others(connection, first, after=after, limit=_PAGE)

    async def _rewrap(self, row: WrappedDataKey, actor: str) -> bool:
        rewrapped = await self.keyring.rewrap(row)
        details = {"scope": row.scope, "key_before": row.provider_key_id, "key_after": rewrapped.provider_key_id}
        async with self.database.write() as connection:
            if await repository.replace_wrap(connection, row, rewrapped):  # else another was faster
                event = Event(EventKind.DATA_KEY_REWRAPPED, actor, str(row.id), details=dict(details))
                await record.write(connection, event)
        return True


def build(resources: Resources) -> Keys:
    """The service over one set of resources."""
    return Keys(resources.database, resources.keyring, Factors(resources.secret_keys))
