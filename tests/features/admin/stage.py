"""What keys protect: files and cases; and a key provider whose master key has versions, and which may be away."""

from typing import Any
from uuid import UUID

from sqlalchemy import insert

from portal.backends.keys.base import KeyProviderError
from portal.core import clock
from portal.core.ids import new_id
from portal.core.principal import Role
from portal.db.connection import Connection
from portal.db.unit_of_work import Database
from portal.features.authz.relation import CaseStatus, Tlp
from portal.features.cases import repository as cases
from portal.features.cases.views import CaseView, Severity
from portal.features.files.models import FileRow
from portal.features.identity import repository as accounts
from portal.features.identity.repository import User
from portal.keyring.data_key import DataKey

from ...keyring.counting import CountingProvider


class Versioned(CountingProvider):
    """A provider whose master key has versions, and which may be away. The head of a wrap is the version."""

    newest = 1
    away = False

    async def wrap(self, *asked: Any) -> bytes:
        return self.newest.to_bytes(5, "big") + await super().wrap(*asked)

    async def unwrap(self, wrapped: bytes, *asked: Any) -> bytes:
        return await super().unwrap(wrapped[5:], *asked)

    def version_of(self, head: bytes) -> int | None:
        return int.from_bytes(head, "big")

    async def check(self) -> None:
        if self.away:
            raise KeyProviderError(reason="no answer in time")


async def add_user(connection: Connection) -> UUID:
    user = User(new_id(), name := new_id().hex, name, "no password", Role.ANALYST, 1, clock.now())
    await accounts.add_user(connection, user)
    return user.id


async def add_case(database: Database) -> UUID:
    now, fields = clock.now(), (CaseStatus.OPEN, Severity.LOW, Tlp.AMBER, 1)
    async with database.write() as connection:
        case = CaseView(new_id(), "2026-0001", "A case", "", *fields, await add_user(connection), now)
        await cases.add(connection, case)
    return case.id


async def add_file(database: Database, key: DataKey, *, size: int, case_id: UUID | None, status: str) -> None:
    file = {"id": new_id(), "scope": key.scope, "name": "a", "name_folded": "a", "kind": "other", "description": ""}
    file |= {"created_at": clock.now(), "case_id": case_id, "data_key_id": key.id, "size": size, "status": status}
    async with database.write() as connection:
        owner_id = await add_user(connection)
        await connection.execute(insert(FileRow).values(**file, owner_id=owner_id, version=1))
