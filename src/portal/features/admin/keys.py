"""Keys for administrators and the command line: their status, and moving everything under the newest ones.

Comes in: a principal, or the actor of the command line. Leaves: a `KeysStatus`; counts, and one audit row for each
rewrapped data key. An interrupted rotation continues where it stopped, because a rewrapped data key is no longer found
under an old key. Next: `keyring`, `identity`.
"""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from uuid import UUID

from portal.core.principal import Principal
from portal.db.unit_of_work import Database
from portal.features.admin import key_rows
from portal.features.admin.master_keys import MasterKey, master_keys
from portal.features.audit import record
from portal.features.audit.events import Event, EventKind
from portal.features.authz import policy
from portal.features.authz.actions import Action
from portal.features.identity.accounts import Actor
from portal.features.identity.factors import Factors
from portal.keyring import repository
from portal.keyring.keyring import Keyring
from portal.keyring.repository import WrappedDataKey
from portal.resources import Resources

_PAGE = 100


@dataclass(frozen=True, slots=True)
class KeysStatus:
    """Every master key, and how many authenticators' secrets are not sealed under the newest SECRET_KEY."""

    master_keys: tuple[MasterKey, ...]
    outdated_authenticators: int


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one portal."""

    database: Database
    keyring: Keyring
    factors: Factors

    async def status(self, by: Actor) -> KeysStatus:
        """How each master key is and what it protects. Reads all files, and calls no provider. Raises Forbidden."""
        _require(by)
        async with self.database.read() as connection:
            wraps = await repository.count_wraps(connection)
            files = await key_rows.count_files(connection)
            outdated = await self.factors.count_outdated(connection)
        return KeysStatus(await master_keys(self.keyring, wraps, files), outdated)

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


def _require(by: Actor) -> None:
    if isinstance(by, Principal):
        policy.require(by, Action.KEY_MANAGE)
