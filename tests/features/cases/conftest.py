"""The cases services over a database of each kind, and people to work in cases."""

import json
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import text

from portal.core import clock
from portal.core.ids import new_id
from portal.core.principal import Origin, Principal, Role
from portal.db.unit_of_work import Database
from portal.features.authz.relation import CaseRole
from portal.features.cases.catalog import CaseCatalog, NewCase
from portal.features.cases.members import Members
from portal.features.cases.views import CaseView
from portal.features.identity import repository as accounts
from portal.features.identity.repository import User
from portal.features.identity.revocation import Revocations

ORIGIN = Origin("a request", "192.0.2.1")


@dataclass
class Office:
    """Every service of the feature over one database."""

    database: Database
    register: CaseCatalog
    members: Members

    async def person(self, role: Role = Role.ANALYST) -> Principal:
        """A new account."""
        user = User(new_id(), name := f"user-{new_id().hex}", name, "no password", role, 1, clock.now())
        async with self.database.write() as connection:
            assert await accounts.add_user(connection, user)
        return Principal(f"user:{user.id}", role, user.id, new_id())

    async def name_of(self, person: Principal) -> str:
        async with self.database.read() as connection:
            account = await accounts.user_by_id(connection, person.user_id)
        assert account is not None
        return account.name

    async def open(self, lead: Principal, **said: Any) -> CaseView:
        return await self.register.open(lead, NewCase(**{"title": "a case", **said}), ORIGIN)

    async def let_in(
        self, lead: Principal, case: CaseView, role: CaseRole, person: Principal | None = None
    ) -> Principal:
        """A member of that role."""
        person = person or await self.person()
        await self.members.add(lead, case.id, await self.name_of(person), role, ORIGIN)
        return person

    async def execute(self, statement: str, **values: Any) -> None:
        """What somebody with the database's password might do."""
        async with self.database.write() as connection:
            await connection.execute(text(statement), values)

    async def count(self, statement: str, **values: Any) -> int:
        async with self.database.read() as connection:
            return int((await connection.execute(text(statement), values)).scalar_one())

    async def record(self, *kinds: str) -> list[dict[str, Any]]:
        """The audit record in order; of these kinds alone if any are named."""
        async with self.database.read() as connection:
            bodies = (await connection.execute(text("SELECT body FROM audit ORDER BY seq"))).scalars()
            events = [json.loads(body) for body in bodies]
        return [event for event in events if not kinds or event["event"] in kinds]


@pytest.fixture
def office(database: Database) -> Office:
    return Office(database, CaseCatalog(database), Members(database, Revocations()))


@pytest.fixture
async def lead(office: Office) -> Principal:
    return await office.person()
