"""Key rotation: the use of each key, and rewrapping of everything under the newest keys.

Comes in: a command of the operator. Leaves: counts, and one audit row for each rewrapped data key. An interrupted
rotation continues where it stopped, because a rewrapped data key is no longer found under an old key. Next: `keyring`,
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
    """The use of one master key. `key_id` is not a secret. `wraps`: it wraps new data keys.

    Unless it is `configured`, no file under its data keys can be opened.
    """

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
        """Every master key that is configured or wraps a data key. The one that wraps new data keys comes first."""
        async with self.database.read() as connection:
            counted = await repository.count_by_provider(connection)
        configured = self.keyring.provider_key_ids
        names = [*configured, *sorted(set(counted) - set(configured))]
        return [MasterKeyUse(name, name in configured, name == names[0], counted.get(name, 0)) for name in names]

    async def under_old_secret_keys(self) -> int:
        """The number of authenticators whose secret is not sealed under the newest SECRET_KEY."""
        async with self.database.read() as connection:
            return await self.factors.count_outdated(connection)

    async def rewrap(self, actor: str) -> AsyncGenerator[bool, None]:
        """Rewrap each data key under the first master key. Yields True for each that was rewrapped, and False for each
        whose master key is not configured.

        A rewrapped data key is retired: it seals no new files, which get a new data key. Raises KeyProviderError,
        DatabaseAway.
        """
        first, after = self.keyring.provider_key_ids[0], None
        while page := await self._page(first, after):
            for row in page:
                yield row.provider_key_id in self.keyring.provider_key_ids and await self._rewrap(row, actor)
            after = page[-1].id

    async def reseal(self) -> int:
        """Seal authenticators' secrets under the newest SECRET_KEY. Returns their number.

        A secret that no configured key opens stays as it is.
        """
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
            if await repository.replace_wrap(connection, row, rewrapped):  # else another process was faster
                event = Event(EventKind.DATA_KEY_REWRAPPED, actor, str(row.id), details=dict(details))
                await record.write(connection, event)
        return True


def build(resources: Resources) -> Keys:
    """Build the service on one set of resources."""
    return Keys(resources.database, resources.keyring, Factors(resources.secret_keys))
