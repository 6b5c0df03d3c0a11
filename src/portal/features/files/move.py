"""Moves: a file goes to another case, or back into its owner's inbox, and its keys change to the new scope.

Comes in: a principal, a file, its target. Leaves: a `FileView`. The stored bytes do not change. Each part's file key is
wrapped for the new scope, a new file record is made, and both are stored in one transaction with the row. The same
transaction checks the right to move the file out of the source and the right to upload to the target.
"""

from contextlib import suppress
from typing import Any
from uuid import UUID

from portal.core.errors import Forbidden, IntegrityError, NotFound
from portal.core.ids import text_of
from portal.core.key_scopes import scope_of
from portal.core.principal import Origin, Principal
from portal.db.connection import Connection
from portal.db.unit_of_work import Database
from portal.features.audit import record
from portal.features.audit.events import Detail, Event, EventKind
from portal.features.authz import policy, tlp
from portal.features.authz.actions import Action
from portal.features.authz.relation import INBOX
from portal.features.cases import relations
from portal.features.files import availability, blob_rows, grant_rows, repository
from portal.features.files.access import apply_at_version, load_allowed, require_in_case
from portal.features.files.blob_rows import FileMoved
from portal.features.files.views import FileView
from portal.strongbox.model import SealedFile
from portal.strongbox.strongbox import Strongbox


class FileMover:
    """Safe for concurrent use."""

    def __init__(self, database: Database, strongbox: Strongbox) -> None:
        self._database = database
        self._strongbox = strongbox

    async def move(
        self, principal: Principal, file_id: UUID, version: int | None, target: UUID | None, origin: Origin
    ) -> FileView:
        """Move the file to the case `target`, or into its owner's inbox if `target` is None. Its grants are deleted.

        Raises NotFound, Forbidden, CaseReadOnly, TlpForbidsMove, PreconditionFailed, IntegrityError, Unavailable.
        """
        with suppress(FileMoved):  # its keys were replaced meanwhile, of which no client knows
            return await self._move(principal, file_id, version, target, origin)
        return await self._move(principal, file_id, version, target, origin)

    async def _move(
        self, principal: Principal, file_id: UUID, version: int | None, target: UUID | None, origin: Origin
    ) -> FileView:
        async with self._database.read() as connection:  # the first check is before any call to a key provider
            before = await _judged(connection, principal, file_id, target)
            sealed = before.sealed(await blob_rows.parts(connection, before))
        if sealed is None:
            raise IntegrityError
        moved = await self._strongbox.rewrap(sealed, scope_of(target))
        async with self._database.write() as connection:
            for case_id in sorted(filter(None, {before.case_id, target})):  # in one order: no deadlock
                await relations.lock_case(connection, case_id)
            file = await _judged(connection, principal, file_id, target)
            await apply_at_version(file, version, lambda _: _apply(connection, before, target, moved))
            details: dict[str, Detail] = {"case_before": text_of(before.case_id), "case_after": text_of(target)}
            await record.write(connection, Event(EventKind.FILE_MOVED, principal.actor, str(file_id), origin, details))
            after = await repository.find(connection, file_id)
        if after is None:
            raise NotFound
        return after


async def _apply(connection: Connection, before: FileView, target: UUID | None, moved: SealedFile) -> bool:
    """Store the new place, keys and file record. False if the file changed since its keys were wrapped.

    Raises FileMoved if only its keys did: a reencryption leaves the version as it is.
    """
    place: dict[str, Any] = {"case_id": target, "scope": moved.scope}
    place |= {"data_key_id": moved.data_key_id, "record": moved.record}
    place["available_at"] = await availability.stamp(connection)  # new to clients that poll there
    if not await repository.move(connection, before, place):
        now = await repository.find(connection, before.id)
        if now is not None and now.version == before.version:
            raise FileMoved
        return False
    await grant_rows.remove(connection, before.id)  # grants were created by the rules of its former place
    for part in moved.parts:
        await blob_rows.store_part(connection, part)
    return True


async def _judged(connection: Connection, principal: Principal, file_id: UUID, target: UUID | None) -> FileView:
    file = await load_allowed(connection, principal, Action.FILE_MOVE, file_id)
    if target is None:
        policy.require_on(principal, Action.FILE_CREATE, INBOX)  # a credential for one case does not reach the inbox
        if file.owner_id != principal.user_id:
            raise Forbidden("A file goes back into its owner's inbox alone, and only they put it there.")
        there = INBOX
    else:
        there = await require_in_case(connection, principal, Action.FILE_CREATE, target)
    if file.case_id is not None:
        tlp.require_tlp(await require_in_case(connection, principal, Action.FILE_LIST, file.case_id), there)
    return file
