"""What a link's holder gets: the offer, the right to one more download, room for one more file.

Comes in: a `Visit`. Leaves: what the link offers; and what `files.delivery` and `files.intake` await in their own
transactions, so that nothing goes out or comes in that was not counted. Next: the shared routes.
"""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from portal.core import clock
from portal.core.errors import Conflict, Forbidden, NotFound
from portal.core.page import After
from portal.core.principal import Action
from portal.db.unit_of_work import Database
from portal.features.files import delivery, upload
from portal.features.files.catalog import Catalog, allowed
from portal.features.files.delivery import Extent
from portal.features.files.listing import Filters
from portal.features.files.models import Status
from portal.features.files.views import FileView
from portal.features.links import judging, repository, visit_rows
from portal.features.links.views import Link, LinkKind, LinkUsedUp, Visit

PAGE = 200


class NothingToResume(Conflict):
    code, title = "nothing_to_resume", "A range goes on with a download that this token began: ask for the whole first."


@dataclass(frozen=True, slots=True)
class Offer:
    """What can be downloaded; `next_after` is where the next page begins, None at the end."""

    files: list[FileView]
    next_after: After | None = None


class Sharing:
    """Safe for concurrent use."""

    def __init__(self, database: Database, catalog: Catalog) -> None:
        self._database = database
        self._catalog = catalog

    async def offer(self, visit: Visit, after: After | None) -> Offer:
        """The files that the link offers now. An upload link shows none."""
        if visit.link.kind is LinkKind.UPLOAD:
            return Offer([])
        if visit.link.kind is LinkKind.FILES:
            return Offer(await self._chosen(visit))
        filters = Filters(case_id=visit.link.case_id)
        page = await self._catalog.list(visit.principal, filters, after, PAGE)
        return Offer([file for file in page.items if file.status is Status.READY], page.next_after)

    async def require_offered(self, visit: Visit, file_id: UUID) -> None:
        """That the link offers the file, if it is there at all. Raises NotFound."""
        if visit.link.kind is LinkKind.CASE:
            return  # the policy lets it go nowhere else
        async with self._database.read() as connection:
            if file_id not in await repository.offered(connection, visit.link.id):
                raise NotFound

    def counting_downloads(self, visit: Visit) -> delivery.Counted:
        """Counts a download of the whole file; a part of one goes with a download that was counted."""

        async def count(connection: AsyncConnection, file: FileView, extent: Extent) -> None:
            await judging.again(connection, visit.link.id)
            if extent == Extent(0, file.size or 0):
                await _use(connection, visit.link)
                await visit_rows.note_delivery(connection, visit.session_id, file.id)
            elif not await visit_rows.was_delivered(connection, visit.session_id, file.id):
                raise NothingToResume

        return count

    def counting_uploads(self, visit: Visit) -> upload.Counted:
        """Counts a file that has come in, and its bytes."""

        async def count(connection: AsyncConnection, file: FileView) -> None:
            await judging.again(connection, visit.link.id)
            await _use(connection, visit.link, file.size or 0)

        return count

    async def _chosen(self, visit: Visit) -> list[FileView]:
        found = []
        async with self._database.read() as connection:
            for file_id in await repository.offered(connection, visit.link.id):
                try:
                    file = await allowed(connection, visit.principal, Action.FILE_DOWNLOAD, file_id)
                except (NotFound, Forbidden):
                    continue  # deleted, or moved out of the link's reach
                found += [file] if file.status is Status.READY else []
        return found


async def _use(connection: AsyncConnection, link: Link, size: int = 0) -> None:
    if not await repository.use(connection, link.id, clock.now(), size):
        raise LinkUsedUp
