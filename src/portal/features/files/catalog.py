"""The file catalogue: list, read, change and delete files and their metadata.

Comes in: a principal and a request. Leaves: `FileView`s. A change names the version that the client read, so that two
clients never overwrite each other. A delete destroys the keys at once, and the bytes after a grace.
"""

from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from uuid import UUID

from portal.core import log
from portal.core.errors import StorageFull, Unavailable
from portal.core.ids import text_of
from portal.core.pagination import After, Page, page_of
from portal.core.principal import Origin, Principal
from portal.core.tasks import shielded
from portal.db.unit_of_work import Database
from portal.features.audit import record
from portal.features.audit.events import Detail, Event, EventKind
from portal.features.authz import policy
from portal.features.authz.actions import Action
from portal.features.authz.visibility import visible_to
from portal.features.files import repository
from portal.features.files.access import apply_at_version, load_allowed, load_for_update, require_in_case
from portal.features.files.blob_rows import AT_ONCE
from portal.features.files.listing import Filters, list_page
from portal.features.files.models import FileKind
from portal.features.files.removal import remove_due
from portal.features.files.views import FileView
from portal.strongbox.strongbox import Strongbox

_log = log.get(__name__)


@dataclass(frozen=True, slots=True)
class Changes:
    """Changes to a file's metadata. None leaves a field as it is."""

    name: str | None = None
    kind: FileKind | None = None
    description: str | None = None


class FileCatalog:
    """Safe for concurrent use."""

    def __init__(self, database: Database, strongbox: Strongbox, *, grace: timedelta) -> None:
        """The bytes of a deleted file stay for `grace`."""
        self._database = database
        self._strongbox = strongbox
        self._grace = grace

    async def list(self, principal: Principal, filters: Filters, after: After | None, limit: int) -> Page[FileView]:
        """One page of the files that the principal may see and that match `filters`: at most `limit`, behind `after`.

        `filters.seen_by` is set here; its value from the caller is ignored. Raises Forbidden if the role may list no
        files; NotFound, Forbidden for a case in `filters` that the principal may not list.
        """
        policy.require(principal, Action.FILE_LIST)
        narrowed = replace(filters, seen_by=visible_to(principal))
        async with self._database.read() as connection:
            if filters.case_id is not None:
                await require_in_case(connection, principal, Action.FILE_LIST, filters.case_id)
            found = await list_page(connection, narrowed, after, limit + 1)
        return page_of(found, limit, filters.place)

    async def get(self, principal: Principal, file_id: UUID) -> FileView:
        """The metadata of one file. Raises NotFound, Forbidden."""
        async with self._database.read() as connection:
            return await load_allowed(connection, principal, Action.FILE_READ, file_id)

    async def update(
        self, principal: Principal, file_id: UUID, version: int | None, changes: Changes, origin: Origin
    ) -> FileView:
        """Change the metadata of a file; returns the new metadata. The audit log gets the old and the new values.

        `version` is the version that the client read; None matches every version. Raises NotFound, Forbidden,
        CaseReadOnly, PreconditionFailed.
        """
        async with self._database.write() as connection:
            file = await load_for_update(connection, principal, Action.FILE_UPDATE, file_id)
            new = {name: value for name, value in asdict(changes).items() if value is not None}
            details: dict[str, Detail] = {}
            for name, value in new.items():
                details |= {f"{name}_before": str(getattr(file, name)), f"{name}_after": str(value)}
            await apply_at_version(file, version, lambda v: repository.update_details(connection, file.id, v, new))
            await record.write(
                connection, Event(EventKind.FILE_UPDATED, principal.actor, str(file_id), origin, details)
            )
            return await load_allowed(connection, principal, Action.FILE_READ, file_id)

    async def delete(self, principal: Principal, file_id: UUID, version: int | None, origin: Origin) -> None:
        """Destroy the keys now, and the bytes after the grace. Raises NotFound, Forbidden, CaseReadOnly,
        PreconditionFailed.

        Once the keys are destroyed, the file is unreadable and deleted. The sweep removes the bytes in their time.
        Without a grace they are removed now, if that is possible.
        """
        async with self._database.write() as connection:
            file = await load_for_update(connection, principal, Action.FILE_DELETE, file_id)
            await apply_at_version(file, version, lambda v: repository.delete(connection, file.id, v, self._grace))
            details: dict[str, Detail] = {"name": file.name, "sha256": file.sha256, "case_id": text_of(file.case_id)}
            await record.write(
                connection, Event(EventKind.FILE_DELETED, principal.actor, str(file_id), origin, details)
            )
        if self._grace == AT_ONCE:
            await shielded(self._remove_bytes(file_id))

    async def _remove_bytes(self, file_id: UUID) -> None:
        try:
            await remove_due(self._database, self._strongbox, file_id)
        except (Unavailable, StorageFull) as away:
            _log.warning("delete_left_to_sweep", file_id=str(file_id), away=away.code)
