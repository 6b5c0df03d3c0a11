"""The catalogue: list, read, change and delete what is known of files.

Comes in: a principal and what it wants. Leaves: `FileView`s. A change names the version it read, so that two never
overwrite each other; a delete destroys the keys first, then the bytes.
"""

from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from portal.core import log
from portal.core.errors import NotFound, PreconditionFailed, StorageFull, Unavailable
from portal.core.page import After, Page, page_of
from portal.core.principal import NOWHERE, Action, Origin, Principal
from portal.core.tasks import uninterrupted
from portal.db.unit_of_work import Database
from portal.features.audit import record
from portal.features.audit.events import Detail, Event, EventKind
from portal.features.authz import policy
from portal.features.authz.sight import sight_of
from portal.features.authz.standing import INBOX, Standing
from portal.features.cases import standing
from portal.features.files import repository
from portal.features.files.listing import Filters, list_page
from portal.features.files.models import Kind
from portal.features.files.views import FileView
from portal.strongbox.model import IN_ROW
from portal.strongbox.strongbox import Strongbox

_log = log.get(__name__)
ANY_VERSION = None  # If-Match: *


@dataclass(frozen=True, slots=True)
class Changes:
    """What a client may change; None leaves a field as it is."""

    name: str | None = None
    kind: Kind | None = None
    description: str | None = None


class Catalog:
    """Safe for concurrent use."""

    def __init__(self, database: Database, strongbox: Strongbox) -> None:
        self._database = database
        self._strongbox = strongbox

    async def list(self, principal: Principal, filters: Filters, after: After | None, limit: int) -> Page[FileView]:
        """What the principal may know of, narrowed by `filters`. `filters.seen_by` is set here, not by the caller."""
        policy.require(principal, Action.FILE_LIST)
        narrowed = replace(filters, seen_by=sight_of(principal))
        async with self._database.read() as connection:
            if filters.case_id is not None:
                await require_in(connection, principal, Action.FILE_LIST, filters.case_id)
            found = await list_page(connection, narrowed, after, limit + 1)
        return page_of(found, limit, filters.place)

    async def get(self, principal: Principal, file_id: UUID) -> FileView:
        """Raises NotFound."""
        async with self._database.read() as connection:
            return await allowed(connection, principal, Action.FILE_READ, file_id)

    async def update(
        self, principal: Principal, file_id: UUID, version: int | None, changes: Changes, origin: Origin
    ) -> FileView:
        """Raises NotFound, Forbidden, PreconditionFailed."""
        async with self._database.write() as connection:
            file = await held(connection, principal, Action.FILE_UPDATE, file_id)
            new = {name: value for name, value in asdict(changes).items() if value is not None}
            details: dict[str, Detail] = {}
            for name, value in new.items():
                details |= {f"{name}_before": str(getattr(file, name)), f"{name}_after": str(value)}
            await change(file, version, lambda v: repository.update_details(connection, file.id, v, new))
            await record.write(
                connection, Event(EventKind.FILE_UPDATED, principal.actor, str(file_id), origin, details)
            )
            return await allowed(connection, principal, Action.FILE_READ, file_id)

    async def delete(self, principal: Principal, file_id: UUID, version: int | None, origin: Origin) -> None:
        """Destroy the keys, then the bytes. Raises NotFound, Forbidden, PreconditionFailed.

        Once the keys are gone the file is gone: bytes that cannot be removed now are left to the sweep.
        """
        async with self._database.write() as connection:
            file = await held(connection, principal, Action.FILE_DELETE, file_id)
            await change(file, version, lambda v: repository.begin_delete(connection, file.id, v))
            details: dict[str, Detail] = {"name": file.name, "sha256": file.sha256, "case": text_of(file.case_id)}
            await record.write(
                connection, Event(EventKind.FILE_DELETED, principal.actor, str(file_id), origin, details)
            )
        await uninterrupted(self._remove_bytes(file_id))

    async def _remove_bytes(self, file_id: UUID) -> None:
        try:
            await remove_bytes(self._database, self._strongbox, file_id)
        except (Unavailable, StorageFull) as away:
            _log.warning("delete_left_to_sweep", file_id=str(file_id), away=away.code)


async def change(file: FileView, version: int | None, apply: Callable[[int], Awaitable[bool]]) -> None:
    """Raises PreconditionFailed where `version` is not the one that was read, or the file was changed meanwhile."""
    expected = file.version if version is ANY_VERSION else version
    if expected != file.version or not await apply(expected):
        raise PreconditionFailed


async def remove_bytes(database: Database, strongbox: Strongbox, file_id: UUID) -> None:
    """Remove every blob of a file that was given up, then forget them. Raises Unavailable; safe to repeat."""
    async with database.read() as connection:
        stored = await repository.stored_blobs(connection, file_id)
    for store_id, key in stored:
        # That a row says it has the bytes itself is no reason to leave any.
        for holder in [store.id.hex for store in strongbox.stores] if store_id == IN_ROW else [store_id]:
            await strongbox.destroy(holder, key)
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


async def allowed(connection: AsyncConnection, principal: Principal, action: Action, file_id: UUID) -> FileView:
    """A listed file, of which the principal may ask that. Raises NotFound, Forbidden, CaseReadOnly."""
    found = await repository.find_for(connection, file_id, principal.user_id)
    if found is None or not found[0].listed:
        raise NotFound
    policy.require_on(principal, action, found[1])
    return found[0]


async def held(connection: AsyncConnection, principal: Principal, action: Action, file_id: UUID) -> FileView:
    """The same, for a change: what it was allowed by stays until the transaction ends."""
    file = await allowed(connection, principal, action, file_id)
    if file.case_id is None:
        return file
    await standing.hold(connection, file.case_id)
    now = await allowed(connection, principal, action, file_id)
    if now.case_id != file.case_id:
        raise PreconditionFailed  # it was moved while we waited: another case is held than it lies in
    return now


def text_of(case_id: UUID | None) -> str | None:
    """For the record."""
    return None if case_id is None else str(case_id)


async def require_place(connection: AsyncConnection, principal: Principal, case_id: UUID | None) -> None:
    """That the principal may hand a file in there; a case stays as it is found until the transaction ends.

    Raises NotFound, Forbidden, CaseReadOnly.
    """
    if case_id is None:
        policy.require_on(principal, Action.FILE_CREATE, INBOX)
        return
    await standing.hold(connection, case_id)
    await require_in(connection, principal, Action.FILE_CREATE, case_id)


async def require_in(connection: AsyncConnection, principal: Principal, action: Action, case_id: UUID) -> Standing:
    """The caller's relation to the case. Raises NotFound, Forbidden, CaseReadOnly."""
    stand = await standing.find(connection, case_id, principal.user_id)
    if stand is None:
        raise NotFound
    policy.require_on(principal, action, stand)
    return stand
