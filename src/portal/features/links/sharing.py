"""What a link's holder gets: the offer, the right to one more download, room for one more file.

Comes in: a `Visit`. Leaves: what the link offers; and what `files.delivery` and `files.intake` await in their own
transactions, so that nothing goes out or comes in that was not counted. Next: the shared routes.
"""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from functools import partial
from uuid import UUID

from portal.core.errors import Forbidden, NotFound
from portal.core.page import After
from portal.db.unit_of_work import Database
from portal.features.authz.actions import Action
from portal.features.files import delivery
from portal.features.files import repository as file_rows
from portal.features.files.access import load_allowed
from portal.features.files.catalog import Catalog
from portal.features.files.listing import Filters
from portal.features.files.models import Status
from portal.features.files.views import FileView
from portal.features.links import downloads, repository, uploads, use_rows
from portal.features.links.uploads import Box
from portal.features.links.views import LinkKind, Visit

PAGE = 200


@dataclass(frozen=True, slots=True)
class Offer:
    """What can be downloaded, how often each was, and what came in by this session.

    `next_after` is where the next page begins, None at the end.
    """

    files: list[FileView]
    next_after: After | None = None
    used: dict[UUID, int] = field(default_factory=dict)
    received: list[FileView] = field(default_factory=list)


class Sharing:
    """Safe for concurrent use."""

    def __init__(self, database: Database, catalog: Catalog) -> None:
        self._database = database
        self._catalog = catalog

    async def offer(self, visit: Visit, after: After | None) -> Offer:
        """The files that the link offers now; of an upload link what this session brought, and no more."""
        if visit.link.kind is LinkKind.UPLOAD:
            return Offer([], received=await self._received(visit))
        following = None
        if visit.link.kind is LinkKind.FILES:
            files = await self._chosen(visit)
        else:
            page = await self._catalog.list(visit.principal, Filters(case_id=visit.link.case_id), after, PAGE)
            files, following = [file for file in page.items if file.status is Status.READY], page.next_after
        async with self._database.read() as connection:
            used = await use_rows.counts(connection, visit.link.id, [file.id for file in files])
        return Offer(files, following, used)

    async def require_offered(self, visit: Visit, file_id: UUID) -> None:
        """That the link offers the file, if it is there at all. Raises NotFound."""
        if visit.link.kind is LinkKind.CASE:
            return  # the policy lets it go nowhere else
        async with self._database.read() as connection:
            if file_id not in await repository.offered(connection, visit.link.id):
                raise NotFound

    def counting_downloads(self, visit: Visit) -> delivery.Counted:
        """Counts a download of the whole file; a part of one goes with a download that was counted."""
        return partial(downloads.counted, self._database, visit)

    def box(
        self, visit: Visit, announced: int | None, most: int, key: str | None = None
    ) -> AbstractAsyncContextManager[Box]:
        """A use for an upload, held while it comes in. Raises NotSignedIn, LinkUsedUp."""
        return uploads.box(self._database, visit, announced, most, key)

    async def _chosen(self, visit: Visit) -> list[FileView]:
        found = []
        async with self._database.read() as connection:
            for file_id in await repository.offered(connection, visit.link.id):
                try:
                    file = await load_allowed(connection, visit.principal, Action.FILE_DOWNLOAD, file_id)
                except (NotFound, Forbidden):
                    continue  # deleted, or moved out of the link's reach
                found += [file] if file.status is Status.READY else []
        return found

    async def _received(self, visit: Visit) -> list[FileView]:
        async with self._database.read() as connection:
            ids = await use_rows.of_session(connection, visit.session_id, visit.link.id, PAGE)
            found = [await file_rows.find(connection, file_id) for file_id in ids]
        return [file for file in found if file is not None and file.listed]
