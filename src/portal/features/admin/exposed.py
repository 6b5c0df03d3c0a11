"""What somebody may know who knows a key: the data keys that a master key ever wrapped, and the files under them.

Comes in: the id of a master key or of a data key. Leaves: an `Exposed`. A rewrap takes nothing back: a data key that
was under an exposed master key may be known, and so may each file key that was ever under that data key. The rows say
what is so now; the audit log has what was. Next: `reencryption`.
"""

import json
from datetime import datetime
from uuid import UUID

from sqlalchemy import select

from portal.core.errors import NotFound
from portal.core.key_scopes import scope_of
from portal.db.connection import Connection
from portal.db.statements import scanning
from portal.db.tables import table
from portal.features.audit.events import EventKind
from portal.features.audit.models import AuditRow
from portal.features.files import selection
from portal.features.files.selection import Exposed
from portal.keyring import repository
from portal.keyring.repository import WrappedDataKey

_audit = table(AuditRow)


async def exposed_with(connection: Connection, key_id: str) -> Exposed:
    """What is exposed with a key. Raises NotFound if neither a row nor the audit log knows it."""
    keys = await _data_keys(connection, key_id)
    if not keys:
        raise NotFound
    return Exposed(tuple(key.id for key in keys), tuple(await _moved_away(connection, keys)))


async def _data_keys(connection: Connection, key_id: str) -> list[WrappedDataKey]:
    one = _uuid(key_id)
    if one is not None:
        found = await repository.find(connection, one)
        return [] if found is None else [found]
    keys = {key.id: key for key in await repository.under(connection, key_id)}
    for data_key_id in await _rewrapped_from(connection, key_id):
        found = await repository.find(connection, data_key_id)
        keys |= {} if found is None else {found.id: found}
    return list(keys.values())


async def _rewrapped_from(connection: Connection, key_id: str) -> list[UUID]:
    """Data keys that the master key wrapped before they were rewrapped."""
    said = f'"key_before":{json.dumps(key_id)},'
    asked = select(_audit.c.subject).where(
        _audit.c.event == EventKind.DATA_KEY_REWRAPPED.value, _audit.c.body.contains(said, autoescape=True)
    )
    return [UUID(subject) for subject in (await connection.execute(scanning(asked))).scalars()]


async def _moved_away(connection: Connection, keys: list[WrappedDataKey]) -> list[UUID]:
    """Files that were in a scope of these keys, and whose blobs are still those of that time."""
    since = min(key.created_at for key in keys)
    asked = select(_audit.c.subject, _audit.c.at, _audit.c.body).where(
        _audit.c.event == EventKind.FILE_MOVED.value, _audit.c.at >= since
    )
    scopes, moved = {key.scope for key in keys}, dict[UUID, datetime]()
    for subject, at, body in await connection.execute(scanning(asked.order_by(_audit.c.at))):
        if _scope_before(body) in scopes:
            moved[UUID(subject)] = at
    return await selection.sealed_earlier(connection, moved) if moved else []


def _scope_before(body: str) -> str:
    case_id = json.loads(body)["details"]["case_before"]
    return scope_of(None if case_id is None else UUID(case_id))


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
