"""The keyring: the data key of each scope. Unwrapped keys are cached for at most five minutes.

Comes in: a scope; or the id of a data key, with the scope that its file belongs to now. Leaves: a `DataKey`. A new key
is used only after the provider has unwrapped it once and its row was committed: no file is ever sealed under a key that
only this process knows, and no row is stored that does not open.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from hashlib import sha256
from uuid import UUID

from portal.backends.keys.base import HEAD_BYTES, Binding, KeyProvider, KeyProviderError
from portal.core import clock
from portal.core.errors import IntegrityError, PortalError
from portal.core.ids import new_id
from portal.core.key_scopes import NO_CASE
from portal.crypto import derive, wrap
from portal.db.connection import Connection
from portal.db.reasons import reason
from portal.db.unit_of_work import Database
from portal.keyring import repository
from portal.keyring.data_key import DataKey, unwrapped
from portal.keyring.repository import NewestKey, WrappedDataKey
from portal.keyring.uses import Uses

CACHE_SECONDS = 300
ROW_SECONDS = 1.0  # how long a key's row is cached: at most one query a second for each key
CACHE_ENTRIES = 1_000


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """How long a data key seals new files: for so many days, or for about so many files. It opens them for ever."""

    days: int = 30
    files: int = 1_000_000


_DEFAULTS = KeyLimits()


_CacheKey = tuple[str, str, UUID, bytes]


class _Rows:
    """A cache of wrapped keys, by scope or by id. A row is valid for `ROW_SECONDS` after it was read."""

    def __init__(self) -> None:
        self._kept: dict[str | UUID, tuple[float, WrappedDataKey]] = {}

    def get(self, name: str | UUID) -> WrappedDataKey | None:
        until, row = self._kept.get(name, (0.0, None))
        return row if time.monotonic() < until else None

    def keep(self, name: str | UUID, row: WrappedDataKey) -> None:
        kept = self.get(name)
        if kept is None or kept.id != row.id:
            now = time.monotonic()
            self._kept = {kept: entry for kept, entry in self._kept.items() if entry[0] > now}
            self._kept[name] = (now + ROW_SECONDS, row)


class Keyring:
    """Creates, unwraps and caches data keys. Safe for concurrent use by the tasks of one event loop.

    The first of `providers` wraps new keys; the others unwrap keys that they wrapped earlier.
    """

    def __init__(self, database: Database, providers: Sequence[KeyProvider], limits: KeyLimits = _DEFAULTS) -> None:
        self._database, self._limits = database, limits
        self._providers = {provider.key_id: provider for provider in providers}
        self._sealing_provider = providers[0]
        self._cache: dict[_CacheKey, tuple[float, asyncio.Task[DataKey]]] = {}
        self._making: dict[str, asyncio.Task[WrappedDataKey]] = {}
        self._rows, self._uses = _Rows(), Uses()
        self._opened_at = clock.now()

    async def active(self, scope: str) -> DataKey:
        """The key for one new file of `scope`. It is created on first use, and replaced when it is worn.

        Raises KeyProviderError, DatabaseAway.
        """
        row = self._rows.get(scope) or await self._read_active(scope)
        if row is None or self._is_worn(row):
            row = await self._made(scope, replacing=row)
        self._rows.keep(scope, row)
        self._uses.add(row.id)
        return await self._unwrapped(row, scope)

    async def get(self, data_key_id: UUID, scope: str) -> DataKey:
        """The key with this id, to open a file. `scope` is the file's present scope, never the one in the key's row.

        Raises IntegrityError if there is no such key in that scope; KeyProviderError, DatabaseAway.
        """
        row = self._rows.get(data_key_id)
        if row is None:
            async with self._database.read() as connection:
                row = await repository.find(connection, data_key_id)
        if row is None or row.scope != scope:
            raise IntegrityError
        self._rows.keep(data_key_id, row)
        return await self._unwrapped(row, scope)

    async def fresh(self, key_id: UUID, scope: str) -> WrappedDataKey:
        """A new key of `scope`, wrapped by the first provider, which has unwrapped it once. No row has it yet.

        Raises KeyProviderError.
        """
        key, provider = wrap.new_key(), self._sealing_provider
        row = WrappedDataKey(
            id=key_id,
            scope=scope,
            provider_key_id=provider.key_id,
            wrapped=await provider.wrap(key, Binding(key_id, scope)),
            check_value=derive.data_key_check(key, key_id),
            created_at=clock.now(),
        )
        await self.open(row)  # or what is sealed under it opens for nobody
        return row

    async def open(self, row: WrappedDataKey) -> DataKey:
        """The key of a row that was read elsewhere, such as a backup's. Raises KeyProviderError."""
        return await self._unwrapped(row, row.scope)

    @property
    def provider_key_ids(self) -> tuple[str, ...]:
        """The ids of the configured master keys; the first one wraps new keys."""
        return tuple(self._providers)

    def version_of(self, provider_key_id: str, head: bytes) -> int | None:
        """The version of a master key that made wraps with this head; None where it has no versions, or is unknown."""
        provider = self._providers.get(provider_key_id)
        return None if provider is None else provider.version_of(head)

    async def health(self) -> dict[str, str | None]:
        """Why each provider is away, by the id of its master key; None for one that is well.

        It costs no call after `check`. In a process that checked none, each is asked once, all of them together.
        """
        reasons = await asyncio.gather(*map(_why_away, self._providers.values()))
        return dict(zip(self._providers, reasons, strict=True))

    async def newest(self) -> NewestKey:
        """The version of the first master key that wraps now. It wraps a key that is thrown away."""
        provider = self._sealing_provider
        wrapped = await provider.wrap(wrap.new_key(), Binding(new_id(), NO_CASE))
        return NewestKey(provider.key_id, wrapped[:HEAD_BYTES])

    async def verify(self, row: WrappedDataKey) -> None:
        """Raises KeyProviderError unless the provider opens this data key now: the cache is not asked."""
        await self._unwrap(row, row.scope)

    async def rewrap(self, row: WrappedDataKey) -> WrappedDataKey:
        """The same data key, wrapped by the first provider. Nothing is stored.

        The returned row is retired: it seals no new files, because a thief of an earlier master key may know the data
        key. Raises KeyProviderError, also if the new wrap does not unwrap again.
        """
        data_key, provider = await self._unwrap(row, row.scope), self._sealing_provider
        wrapped = await provider.wrap(data_key.key, Binding(row.id, row.scope))
        retired_at = row.retired_at or clock.now()
        rewrapped = replace(row, provider_key_id=provider.key_id, wrapped=wrapped, retired_at=retired_at)
        await self._unwrap(rewrapped, row.scope)  # the new wrap must open, or the caller keeps the old one
        return rewrapped

    async def check_providers(self) -> None:
        """Raises KeyProviderError unless every provider is well, as far as is known: it costs no call after `check`."""
        for provider in self._providers.values():
            await provider.check()

    async def check(self) -> None:
        """Raises KeyProviderError unless every provider is well, and the data key for files without a case, if there
        is one, can be unwrapped. Raises ConfigError, DatabaseAway.
        """
        await self.check_providers()
        async with self._database.read() as connection:
            row = await repository.find_active(connection, NO_CASE)
        if row is not None:
            await self._unwrapped(row, NO_CASE)

    async def aclose(self) -> None:
        """Forget every key and close the providers, after the keys that are being made were stored."""
        if self._making:
            await asyncio.wait(self._making.values())
        if running := [task for _, task in self._cache.values() if not task.done()]:
            for task in running:
                task.cancel()
            await asyncio.wait(running)
        self._cache.clear()
        self._rows = _Rows()
        for provider in self._providers.values():
            await provider.aclose()

    async def _read_active(self, scope: str) -> WrappedDataKey | None:
        """The row of the active key, which now counts the uses in this process if they are many."""
        async with self._database.read() as connection:
            row = await _active_row(connection, scope)
        uses = 0 if row is None else self._uses.take(row.id)
        if row is None or uses == 0:
            return row
        async with self._database.write() as connection:
            await repository.add_uses(connection, row.id, uses)
        return replace(row, uses=row.uses + uses)

    def _is_worn(self, row: WrappedDataKey) -> bool:
        """Whether a key must be replaced: it is too old, it sealed too many files, or its master key is configured but
        no longer the first.

        A key younger than this keyring is not replaced for its master key: a process with another order of master keys
        created it, and the two processes would replace each other's keys for ever.
        """
        first = self._sealing_provider.key_id
        moved = row.provider_key_id in self._providers and row.provider_key_id != first
        too_old = row.created_at < clock.now() - timedelta(days=self._limits.days)
        too_many = row.uses + self._uses.of(row.id) >= self._limits.files
        return too_old or too_many or (moved and row.created_at < self._opened_at)

    async def _made(self, scope: str, *, replacing: WrappedDataKey | None) -> WrappedDataKey:
        """The row of a new active key. Concurrent callers share one: each would cost a call to the provider."""
        task = self._making.get(scope)
        if task is None:
            task = self._making[scope] = asyncio.create_task(self._make(scope, replacing=replacing))
            task.add_done_callback(lambda done: self._forget_made(scope, done))
        return await asyncio.shield(task)

    def _forget_made(self, scope: str, task: asyncio.Task[WrappedDataKey]) -> None:
        del self._making[scope]
        if not task.cancelled():
            task.exception()  # marked as retrieved: the callers that still wait get it

    async def _make(self, scope: str, *, replacing: WrappedDataKey | None) -> WrappedDataKey:
        row = await self.fresh(new_id(), scope)
        async with self._database.write() as connection:
            if replacing is not None:
                await repository.retire(connection, replacing.id, row.created_at)
            await repository.add_unless_active(connection, row)
            active = await repository.find_active(connection, scope)
        if active is None:
            raise RuntimeError("a scope without an active data key right after one was made")
        return active

    async def _unwrapped(self, row: WrappedDataKey, scope: str) -> DataKey:
        """The unwrapped key, from the cache or the provider. Concurrent callers share one call to the provider.

        A failed call is not cached.
        """
        key = (row.provider_key_id, scope, row.id, sha256(row.wrapped).digest())
        expires, task = self._cache.get(key, (0.0, None))
        if task is None or time.monotonic() >= expires:
            task = asyncio.create_task(self._unwrap(row, scope))
            task.add_done_callback(lambda done: self._forget_failed(key, done))
            self._remember(key, task)
        return await asyncio.shield(task)  # a cancelled caller does not cancel the call for the others

    def _forget_failed(self, key: _CacheKey, task: asyncio.Task[DataKey]) -> None:
        failed = task.cancelled() or task.exception() is not None
        if failed and self._cache.get(key, (0.0, None))[1] is task:
            del self._cache[key]

    def _remember(self, key: _CacheKey, task: asyncio.Task[DataKey]) -> None:
        self._cache.pop(key, None)
        while len(self._cache) >= CACHE_ENTRIES:
            del self._cache[next(iter(self._cache))]
        expires = time.monotonic() + CACHE_SECONDS
        self._cache[key] = (expires, task)
        asyncio.get_running_loop().call_later(CACHE_SECONDS, self._forget_expired, key, expires)

    def _forget_expired(self, key: _CacheKey, expires: float) -> None:
        """Forget this entry, whatever the clock says: a loop's timer may be early, and there is no second one."""
        if self._cache.get(key, (0.0, None))[0] == expires:
            del self._cache[key]

    async def _unwrap(self, row: WrappedDataKey, scope: str) -> DataKey:
        return await unwrapped(self._providers, row, scope)


async def _active_row(connection: Connection, scope: str) -> WrappedDataKey | None:
    """Raises KeyProviderError for a row that was edited: no file is damaged, and `rotate` takes it out of use."""
    try:
        return await repository.find_active(connection, scope)
    except IntegrityError:
        raise KeyProviderError(reason="the row of a data key was edited") from None


async def _why_away(provider: KeyProvider) -> str | None:
    try:
        await provider.check()
    except PortalError as error:
        return reason(error)
    return None
