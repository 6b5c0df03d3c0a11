"""Access by a link: the files that it offers, the allowance for a download, the slot for an upload.

Comes in: a `LinkSession`. Leaves: the offered files; and the callbacks that `files.downloads.delivery` and
`files.uploads.intake` await in their own transactions, so that every transfer is counted. Next: the shared routes.
"""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from functools import partial
from uuid import UUID

from portal.core.errors import Forbidden, NotFound
from portal.core.pagination import After
from portal.db.unit_of_work import Database
from portal.features.authz.actions import Action
from portal.features.files import repository as file_rows
from portal.features.files.access import load_allowed
from portal.features.files.catalog import FileCatalog
from portal.features.files.downloads import delivery
from portal.features.files.listing import Filters
from portal.features.files.models import Status
from portal.features.files.views import FileView
from portal.features.links import downloads, repository, uploads, use_rows
from portal.features.links.uploads import UploadSlot
from portal.features.links.views import LinkKind, LinkSession

PAGE = 200


@dataclass(frozen=True, slots=True)
class SharedFiles:
    """The files that a link offers, the number of uses of each, and the files that this session uploaded.

    `next_after` is the cursor of the next page, None at the end.
    """

    files: list[FileView]
    next_after: After | None = None
    used: dict[UUID, int] = field(default_factory=dict)
    received: list[FileView] = field(default_factory=list)


class SharedAccess:
    """The link sessions' access to files. Safe for concurrent use."""

    def __init__(self, database: Database, catalog: FileCatalog) -> None:
        self._database = database
        self._catalog = catalog

    async def offer(self, session: LinkSession, after: After | None) -> SharedFiles:
        """The files that the link offers now. An upload link offers none, and lists what this session uploaded.

        Only `Status.READY` files are offered. Raises NotFound, Forbidden.
        """
        if session.link.kind is LinkKind.UPLOAD:
            return SharedFiles([], received=await self._received(session))
        following = None
        if session.link.kind is LinkKind.FILES:
            files = await self._chosen(session)
        else:
            page = await self._catalog.list(session.principal, Filters(case_id=session.link.case_id), after, PAGE)
            files, following = [file for file in page.items if file.status is Status.READY], page.next_after
        async with self._database.read() as connection:
            used = await use_rows.counts(connection, session.link.id, [file.id for file in files])
        return SharedFiles(files, following, used)

    async def require_offered(self, session: LinkSession, file_id: UUID) -> None:
        """Raises NotFound where the file is not among those chosen for the link.

        A link to a case has no chosen files: the policy confines it to its case.
        """
        if session.link.kind is LinkKind.CASE:
            return  # the policy confines it to its case
        async with self._database.read() as connection:
            if file_id not in await repository.offered(connection, session.link.id):
                raise NotFound

    def count_download(self, session: LinkSession) -> delivery.OnDownloadStarted:
        """The callback that counts a download. A range is charged to a download that was counted before."""
        return partial(downloads.counted, self._database, session)

    def upload_slot(
        self, session: LinkSession, content_length: int | None, most: int, key: str | None = None
    ) -> AbstractAsyncContextManager[UploadSlot]:
        """A context that holds one use of the link during an upload of at most `most` bytes (`uploads.upload_slot`).

        Entering it raises NotSignedIn, LinkUsedUp.
        """
        return uploads.upload_slot(self._database, session, content_length, most, key)

    async def _chosen(self, session: LinkSession) -> list[FileView]:
        found = []
        async with self._database.read() as connection:
            for file_id in await repository.offered(connection, session.link.id):
                try:
                    file = await load_allowed(connection, session.principal, Action.FILE_DOWNLOAD, file_id)
                except (NotFound, Forbidden):
                    continue  # deleted, or moved out of the link's reach
                found += [file] if file.status is Status.READY else []
        return found

    async def _received(self, session: LinkSession) -> list[FileView]:
        async with self._database.read() as connection:
            ids = await use_rows.of_session(connection, session.session_id, session.link.id, PAGE)
            found = [await file_rows.find(connection, file_id) for file_id in ids]
        return [file for file in found if file is not None and file.listed]
