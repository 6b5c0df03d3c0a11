"""Links over the files services of `tests/features/files`, with cases to lead into and a lead to make them."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from portal.core import clock
from portal.core.principal import CredentialKind, Principal, Role
from portal.core.ranges import RangeRequest
from portal.features.authz.relation import CaseRole, Tlp
from portal.features.cases.catalog import CaseCatalog, CaseChanges, NewCase
from portal.features.cases.members import Members
from portal.features.files.downloads.delivery import Delivery
from portal.features.files.models import FileKind
from portal.features.files.views import Details, FileView
from portal.features.identity.passwords import PasswordHasher
from portal.features.links.endings import end_links_of
from portal.features.links.link_sessions import LinkSessions
from portal.features.links.links import LinkService
from portal.features.links.shared_access import SharedAccess
from portal.features.links.views import CreatedLink, FileForLink, LinkKind, LinkSession, NewLink
from tests.features.files.conftest import CONTENT, ORIGIN, Bytes, House, house, quiet

__all__ = ["house", "quiet"]

DAY = timedelta(days=1)
WHOLE = 10**9


class Clock:
    """The portal's clock, moved by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._ahead = timedelta()
        real = clock.now
        monkeypatch.setattr(clock, "now", lambda: real() + self._ahead)

    def passes(self, **span: float) -> None:
        self._ahead += timedelta(**span)


@dataclass
class Desk:
    """Everything that links have to do with."""

    house: House
    links: LinkService
    sessions: LinkSessions
    shared_access: SharedAccess
    register: CaseCatalog
    members: Members

    async def case(self, lead: Principal, tlp: Tlp = Tlp.AMBER) -> UUID:
        return (await self.register.open(lead, NewCase("A case", tlp=tlp), ORIGIN)).id

    async def joins(self, lead: Principal, case_id: UUID, member: Principal, role: CaseRole) -> None:
        (name,) = [row["name"] for row in await self.house.rows("users") if same(row["id"], member.user_id)]
        await self.members.add(lead, case_id, name, role, ORIGIN)

    async def change(self, lead: Principal, case_id: UUID, **changes: Any) -> None:
        await self.register.update(lead, case_id, None, CaseChanges(**changes), ORIGIN)

    async def download_link(self, maker: Principal, *file_ids: UUID, most: int = 1, **more: Any) -> CreatedLink:
        wanted = NewLink(LinkKind.FILES, DAY, most, file_ids=frozenset(file_ids), **more)
        return await self.links.create(maker, wanted, ORIGIN)

    async def case_link(self, maker: Principal, case_id: UUID, most: int = 1, **more: Any) -> CreatedLink:
        return await self.links.create(maker, NewLink(LinkKind.CASE, DAY, most, case_id, **more), ORIGIN)

    async def upload_link(
        self, maker: Principal, case_id: UUID | None = None, most: int = 1, **more: Any
    ) -> CreatedLink:
        return await self.links.create(maker, NewLink(LinkKind.UPLOAD, DAY, most, case_id, **more), ORIGIN)

    async def session(self, made: CreatedLink, password: str | None = None) -> LinkSession:
        redeemed = await self.sessions.redeem(made.secret, password, ORIGIN)
        return await self.sessions.session(redeemed.token)

    async def begin(self, session: LinkSession, file_id: UUID, start: int = 0, length: int = WHOLE) -> Delivery:
        """As the routes do."""
        await self.shared_access.require_offered(session, file_id)
        asked = RangeRequest(first=start, last=start + length - 1)
        counted = self.shared_access.count_download(session)
        return await self.house.deliveries.start(session.principal, file_id, ORIGIN, asked, counted)

    async def fetch(self, session: LinkSession, file_id: UUID, start: int = 0, length: int = WHOLE) -> bytes:
        delivery = await self.begin(session, file_id, start, length)
        return b"".join([chunk async for chunk in delivery.chunks])

    async def send(
        self,
        session: LinkSession,
        content: bytes = CONTENT,
        kind: FileKind = FileKind.OTHER,
        key: str | None = None,
        **said: Any,
    ) -> FileView:
        """As the routes do."""
        arrival = FileForLink(Bytes(content, said=Details(kind), **said), session.link)
        async with self.shared_access.upload_slot(session, said.get("content_length"), WHOLE, key) as box:
            return await self.house.intake.receive(
                session.principal, arrival, ORIGIN, idempotency_key=box.key, counted=box.counted
            )

    async def link_row(self) -> dict[str, Any]:
        (row,) = await self.house.rows("links")
        return row


def same(stored: Any, id_: UUID) -> bool:
    """SQLite keeps ids as hex digits."""
    return UUID(str(stored)) == id_


@pytest.fixture
def desk(house: House) -> Desk:
    hasher = PasswordHasher(memory_kib=8, passes=1, lanes=1)
    sessions = LinkSessions(house.database, hasher)
    house.intake._authenticators.add(CredentialKind.LINK, sessions)
    house.revocations.add("links", end_links_of)
    return Desk(
        house=house,
        links=LinkService(house.database, hasher, house.identity.authenticators),
        sessions=sessions,
        shared_access=SharedAccess(house.database, house.catalog),
        register=CaseCatalog(house.database),
        members=Members(house.database, house.revocations),
    )


@pytest.fixture
async def lead(house: House) -> Principal:
    return await house.principal()


@pytest.fixture
async def admin(house: House) -> Principal:
    return await house.principal(Role.ADMIN)


@pytest.fixture
def hands(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)
