"""API tokens over the shared databases, and accounts to own them."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from portal.core import clock
from portal.core.ids import new_id
from portal.core.principal import Principal, Role
from portal.db.unit_of_work import Database
from portal.features.audit.events import Event
from portal.features.audit.models import AuditRow
from portal.features.identity import repository as accounts
from portal.features.identity.repository import User
from portal.features.tokens.service import ApiTokens

audit: Any = AuditRow

SignIn = Callable[..., Awaitable[Principal]]


class Clock:
    """The portal's clock, moved by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = clock.now()
        monkeypatch.setattr(clock, "now", self.read)

    def read(self) -> datetime:
        return self.now

    def passes(self, **span: int) -> None:
        self.now += timedelta(**span)


@pytest.fixture
def hands(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
def tokens(database: Database) -> ApiTokens:
    return ApiTokens(database)


@pytest.fixture
def sign_in(database: Database) -> SignIn:
    """Makes an account of a role, and its principal."""

    async def make(role: Role = Role.ANALYST) -> Principal:
        user = User(new_id(), name := new_id().hex, name, "no password", role, 1, clock.now())
        async with database.write() as connection:
            assert await accounts.add_user(connection, user)
        return Principal(f"user:{user.id}", role, user.id, new_id())

    return make


@pytest.fixture
async def ada(sign_in: SignIn) -> Principal:
    return await sign_in()


async def events(database: Database) -> list[Event]:
    async with database.read() as connection:
        bodies = (await connection.execute(select(audit.body).order_by(audit.seq))).scalars()
        return [Event.from_canonical(body) for body in bodies]
