"""The catalogue: list, read, change and delete what is known of files.

Comes in: a principal and what it wants. Leaves: `FileView`s. A change names the version it read, so that two never
overwrite each other; a delete destroys the keys first, then the bytes.
"""

from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from portal.core import log
from portal.core.errors import NotFound, PreconditionFailed, StorageFull, Unavailable
from portal.core.principal import NOWHERE, Action, Origin, Principal
from portal.core.tasks import uninterrupted
from portal.db.unit_of_work import Database
from portal.features.audit import record
from portal.features.audit.events import Detail, Event, EventKind
from portal.features.authz import policy
from portal.features.files import repository
from portal.features.files.models import Kind
from portal.features.files.repository import Filters
from portal.features.files.views import FileView
from portal.strongbox.strongbox import Strongbox

_log = log.get(__name__)
ANY_VERSION = None  # If-Match: *


@dataclass(frozen=True, slots=True)
class Changes:
    """What a client may change; None leaves a field as it is."""

    name: str | None = None
    kind: Kind | None = None
    description: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Files, newest first; `next_after` is where the next page begins, None at the end."""

    items: list[FileView]
    next_after: tuple[datetime, UUID] | None


class Catalog:
    """Safe for concurrent use."""

    def __init__(self, database: Database, strongbox: Strongbox) -> None:
        self._database = database
        self._strongbox = strongbox

    async def list(
        self, principal: Principal, filters: Filters, after: tuple[datetime, UUID] | None, limit: int
    ) -> Page:
        """What the principal may know of, narrowed by `filters`. `filters.owner_id` is set here, not by the caller."""
        policy.require(principal, Action.FILE_LIST)
        narrowed = Filters(**{**asdict(filters), "owner_id": policy.visible_owner(principal)})
        async with self._database.read() as connection:
            found = await repository.list_page(connection, narrowed, after, limit + 1)
        items = found[:limit]
        more = len(found) > limit
        return Page(items, (items[-1].created_at, items[-1].id) if more else None)

    async def get(self, principal: Principal, file_id: UUID) -> FileView:
        """Raises NotFound."""
        async with self._database.read() as connection:
            return await _allowed(connection, principal, Action.FILE_READ, file_id)

    async def update(
        self, principal: Principal, file_id: UUID, version: int | None, changes: Changes, origin: Origin
    ) -> FileView:
        """Raises NotFound, Forbidden, PreconditionFailed."""
        async with self._database.write() as connection:
            file = await _allowed(connection, principal, Action.FILE_UPDATE, file_id)
            new = {name: value for name, value in asdict(changes).items() if value is not None}
            details: dict[str, Detail] = {}
            for name, value in new.items():
                details |= {f"{name}_before": str(getattr(file, name)), f"{name}_after": str(value)}
            await _change(file, version, lambda v: repository.update_details(connection, file.id, v, new))
            await record.write(
                connection, Event(EventKind.FILE_UPDATED, principal.actor, str(file_id), origin, details)
            )
            return await _allowed(connection, principal, Action.FILE_READ, file_id)

    async def delete(self, principal: Principal, file_id: UUID, version: int | None, origin: Origin) -> None:
        """Destroy the keys, then the bytes. Raises NotFound, Forbidden, PreconditionFailed.

        Once the keys are gone the file is gone: bytes that cannot be removed now are left to the sweep.
        """
        async with self._database.write() as connection:
            file = await _allowed(connection, principal, Action.FILE_DELETE, file_id)
            await _change(file, version, lambda v: repository.begin_delete(connection, file.id, v))
            details: dict[str, Detail] = {"name": file.name, "sha256": file.sha256}
            await record.write(
                connection, Event(EventKind.FILE_DELETED, principal.actor, str(file_id), origin, details)
            )
        await uninterrupted(self._remove_bytes(file_id))

    async def _remove_bytes(self, file_id: UUID) -> None:
        try:
            await remove_bytes(self._database, self._strongbox, file_id)
        except (Unavailable, StorageFull) as away:
            _log.warning("delete_left_to_sweep", file_id=str(file_id), away=away.code)


async def _change(file: FileView, version: int | None, change: Callable[[int], Awaitable[bool]]) -> None:
    expected = file.version if version is ANY_VERSION else version
    if expected != file.version or not await change(expected):
        raise PreconditionFailed


async def remove_bytes(database: Database, strongbox: Strongbox, file_id: UUID) -> None:
    """Remove every blob of a file that was given up, then forget them. Raises Unavailable; safe to repeat."""
    async with database.read() as connection:
        keys = await repository.blob_keys(connection, file_id)
    for key in keys:
        await strongbox.destroy(key)
    async with database.write() as connection:
        await repository.forget_blobs(connection, file_id)


async def expire(
    connection: AsyncConnection, file_id: UUID, lease_before: datetime, actor: str, origin: Origin = NOWHERE
) -> bool:
    """Give an upload up, on record, that nobody is at any more; its bytes are left. False where somebody still is."""
    if not await repository.fail(connection, file_id, lease_before=lease_before):
        return False
    details: dict[str, Detail] = {"reason": "lease_expired"}
    await record.write(connection, Event(EventKind.FILE_UPLOAD_FAILED, actor, str(file_id), origin, details))
    return True


async def _allowed(connection: AsyncConnection, principal: Principal, action: Action, file_id: UUID) -> FileView:
    file = await repository.find(connection, file_id)
    if file is None or not file.listed:
        raise NotFound
    policy.require_on(principal, action, owner_id=file.owner_id)
    return file
