"""Access checks of the files feature: a file or a case is loaded together with the decision that the caller may act.

Comes in: an open transaction, a principal, an action. Leaves: a `FileView` or the caller's relation to a case, or the
refusal. Every service that reads or changes a file uses these functions, so that no decision is made in two ways.
"""

from collections.abc import Awaitable, Callable
from typing import Final
from uuid import UUID

from portal.core.errors import Forbidden, NotFound, PreconditionFailed
from portal.core.principal import Principal
from portal.db.connection import Connection
from portal.features.authz import policy
from portal.features.authz.actions import Action
from portal.features.authz.relation import INBOX, Relation
from portal.features.cases import relations
from portal.features.files import repository
from portal.features.files.views import FileView

ANY_VERSION: Final = None
"""The version of `If-Match: *`: it matches every version."""


class Quarantined(Forbidden):
    code, title = "file_quarantined", "The file is quarantined and is not delivered."


async def load_allowed(connection: Connection, principal: Principal, action: Action, file_id: UUID) -> FileView:
    """Load a listed file on which the principal may perform the action. Raises NotFound, Forbidden, CaseReadOnly."""
    found = await repository.find_for(connection, file_id, principal.user_id)
    if found is None or not found[0].listed:
        raise NotFound
    policy.require_on(principal, action, found[1])
    return found[0]


async def load_for_update(connection: Connection, principal: Principal, action: Action, file_id: UUID) -> FileView:
    """Load a file as `load_allowed` does, for a change: its case is locked until the transaction ends.

    So the case, on which the decision rests, cannot change before the commit. Raises NotFound, Forbidden, CaseReadOnly;
    PreconditionFailed if the file moved while this transaction waited for the lock.
    """
    file = await load_allowed(connection, principal, action, file_id)
    if file.case_id is None:
        return file
    await relations.lock_case(connection, file.case_id)
    now = await load_allowed(connection, principal, action, file_id)
    if now.case_id != file.case_id:
        raise PreconditionFailed  # it was moved during the wait: the lock is on its former case
    return now


async def require_in_case(connection: Connection, principal: Principal, action: Action, case_id: UUID) -> Relation:
    """The caller's relation to the case. Raises NotFound, Forbidden, CaseReadOnly."""
    relation = await relations.find(connection, case_id, principal.user_id)
    if relation is None:
        raise NotFound
    policy.require_on(principal, action, relation)
    return relation


async def require_upload_target(connection: Connection, principal: Principal, case_id: UUID | None) -> None:
    """Check that the principal may upload to the case, or to its own inbox if `case_id` is None.

    The case is locked until the transaction ends. Raises NotFound, Forbidden, CaseReadOnly.
    """
    if case_id is None:
        policy.require_on(principal, Action.FILE_CREATE, INBOX)
        return
    await relations.lock_case(connection, case_id)
    await require_in_case(connection, principal, Action.FILE_CREATE, case_id)


async def apply_at_version(file: FileView, version: int | None, apply: Callable[[int], Awaitable[bool]]) -> None:
    """Apply a change if the file still has `version`. `apply` takes that version; it returns False for a lost race.

    Raises PreconditionFailed if `version` is not the one that was read, or if the file was changed meanwhile.
    """
    expected = file.version if version is ANY_VERSION else version
    if expected != file.version or not await apply(expected):
        raise PreconditionFailed
