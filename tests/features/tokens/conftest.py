"""API tokens over the shared databases, and accounts to own them."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from portal.core import clock
from portal.core.errors import NotFound
from portal.core.ids import new_id
from portal.core.principal import CredentialKind, Principal, Role
from portal.core.secrets import Secret
from portal.db.connection import Connection
from portal.db.unit_of_work import Database
from portal.features.audit.events import Event
from portal.features.audit.models import AuditRow
from portal.features.identity import repository as accounts
from portal.features.identity import session_rows
from portal.features.identity.passwords import PasswordHasher
from portal.features.identity.repository import User
from portal.features.identity.service import Identity, build
from portal.features.identity.session_rows import Session
from portal.features.tokens.service import ApiTokens, end_tokens_of

audit: Any = AuditRow
CASE = UUID(int=0xCA5E)

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
def identity(database: Database) -> Identity:
    """Its resources are a database and a key: it asks for no others."""
    resources: Any = SimpleNamespace(database=database, secret_keys=(Secret(b"s" * 32),))
    made = build(resources, PasswordHasher(memory_kib=8, passes=1, lanes=1))
    made.revocations.add("api_tokens", end_tokens_of)
    return made


async def known_case(_: Connection, __: Principal, case_id: UUID) -> None:
    """Cases are of a feature above: the tests of `e2e` ask the real one."""
    if case_id != CASE:
        raise NotFound


@pytest.fixture
def tokens(database: Database, identity: Identity) -> ApiTokens:
    made = ApiTokens(database, identity.authenticators, known_case)
    identity.authenticators.add(CredentialKind.TOKEN, made)
    return made


@pytest.fixture
def sign_in(database: Database) -> SignIn:
    """Makes an account of a role that is signed in, and its principal."""

    async def new(role: Role = Role.ANALYST) -> Principal:
        now = clock.now()
        user = User(new_id(), name := new_id().hex, name, "no password", role, 1, now)
        session = Session(new_id(), user.id, 1, b"digest", now, now + timedelta(days=1))
        async with database.write() as connection:
            assert await accounts.add_user(connection, user)
            await session_rows.add(connection, session)
        return Principal(f"user:{user.id}", role, user.id, session.id)

    return new


@pytest.fixture
async def ada(sign_in: SignIn) -> Principal:
    return await sign_in()


async def events(database: Database) -> list[Event]:
    async with database.read() as connection:
        bodies = (await connection.execute(select(audit.body).order_by(audit.seq))).scalars()
        return [Event.from_canonical(body) for body in bodies]
