"""What several suites of identity need: people who are signed in, a clock that is moved by hand, the record."""

import asyncio
from collections.abc import Awaitable, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

import pytest
from sqlalchemy import select

from portal.core import clock
from portal.core.errors import PortalError
from portal.core.principal import EVERY_PERMISSION, NOWHERE, Principal, Role
from portal.db.unit_of_work import Database
from portal.features.audit.events import Event
from portal.features.audit.models import AuditRow
from portal.features.identity.repository import User
from portal.features.identity.sessions import Sessions
from portal.features.identity.users import Users

PASSWORD = "correct horse battery"
EVERYTHING = " ".join(sorted(EVERY_PERMISSION))  # the scope of a sign-in that asks for none
_T = TypeVar("_T")
_audit: Any = AuditRow


class Clock:
    """The portal's clock, moved by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = clock.now()
        monkeypatch.setattr(clock, "now", lambda: self.now)

    def move(self, **by: float) -> None:
        self.now += timedelta(**by)

    def read(self) -> datetime:
        return self.now


async def make(users: Users, name: str, role: Role = Role.ANALYST) -> User:
    return await users.create(name, role, PASSWORD, actor="system:test")


async def signed_in(sessions: Sessions, name: str) -> Principal:
    pair = await sessions.sign_in(name, PASSWORD, NOWHERE)
    return await sessions.resolve(pair.access_token)


async def lives(sessions: Sessions, database: Database, principal: Principal) -> bool:
    async with database.read() as connection:
        (answer,) = await asyncio.gather(
            sessions.require_live(connection, principal.credential_id), return_exceptions=True
        )
    return isinstance(answer, Principal)


async def at_once(attempts: Sequence[Awaitable[_T]]) -> tuple[list[_T], list[PortalError]]:
    """What came of attempts that were made at once: results, and refusals of ours; anything else is raised."""
    results = await asyncio.gather(*attempts, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, PortalError):
            raise result
    refused = [result for result in results if isinstance(result, PortalError)]
    return [result for result in results if not isinstance(result, BaseException)], refused


async def record(database: Database, *kinds: str) -> list[Event]:
    async with database.read() as connection:
        bodies = (await connection.execute(select(_audit.body).order_by(_audit.seq))).scalars()
        events = [Event.from_canonical(body) for body in bodies]
    return [event for event in events if event.kind.value in kinds]
