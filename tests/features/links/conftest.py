"""Links over the files services of `tests/features/files`, with cases to lead into and a lead to make them."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from portal.core import clock
from portal.core.principal import CredentialKind, Principal, Role
from portal.features.authz.standing import CaseRole, Tlp
from portal.features.cases.members import Members
from portal.features.cases.register import CaseChanges, NewCase, Register
from portal.features.files.delivery import Delivery, Extent
from portal.features.files.models import Kind
from portal.features.files.views import Details, FileView
from portal.features.identity.passwords import PasswordHasher
from portal.features.links.endings import end_links_of
from portal.features.links.making import Making
from portal.features.links.sharing import Sharing
from portal.features.links.views import Directed, LinkKind, Made, Visit, Wanted
from portal.features.links.visits import Visits
from tests.features.files.conftest import (
    CONTENT,
    ORIGIN,
    Bytes,
    House,
    engine,
    house,
    quiet,
    shared_postgres,
)

__all__ = ["engine", "house", "quiet", "shared_postgres"]

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
    making: Making
    visits: Visits
    sharing: Sharing
    register: Register
    members: Members

    async def case(self, lead: Principal, tlp: Tlp = Tlp.AMBER) -> UUID:
        return (await self.register.open(lead, NewCase("A case", tlp=tlp), ORIGIN)).id

    async def joins(self, lead: Principal, case_id: UUID, member: Principal, role: CaseRole) -> None:
        (name,) = [row["name"] for row in await self.house.rows("users") if same(row["id"], member.user_id)]
        await self.members.add(lead, case_id, name, role, ORIGIN)

    async def change(self, lead: Principal, case_id: UUID, **changes: Any) -> None:
        await self.register.update(lead, case_id, None, CaseChanges(**changes), ORIGIN)

    async def download_link(self, maker: Principal, *file_ids: UUID, most: int = 1, **more: Any) -> Made:
        wanted = Wanted(LinkKind.FILES, DAY, most, file_ids=frozenset(file_ids), **more)
        return await self.making.make(maker, wanted, ORIGIN)

    async def case_link(self, maker: Principal, case_id: UUID, most: int = 1, **more: Any) -> Made:
        return await self.making.make(maker, Wanted(LinkKind.CASE, DAY, most, case_id, **more), ORIGIN)

    async def upload_link(self, maker: Principal, case_id: UUID | None = None, most: int = 1, **more: Any) -> Made:
        return await self.making.make(maker, Wanted(LinkKind.UPLOAD, DAY, most, case_id, **more), ORIGIN)

    async def visit(self, made: Made, password: str | None = None) -> Visit:
        redeemed = await self.visits.redeem(made.secret, password, ORIGIN)
        return await self.visits.visit(redeemed.token)

    async def begin(self, visit: Visit, file_id: UUID, start: int = 0, length: int = WHOLE) -> Delivery:
        """As the routes do."""
        await self.sharing.require_offered(visit, file_id)

        def choose(file: FileView) -> Extent:
            return Extent(start, min(length, (file.size or 0) - start))

        counted = self.sharing.counting_downloads(visit)
        return await self.house.deliveries.start(visit.principal, file_id, ORIGIN, choose, counted)

    async def fetch(self, visit: Visit, file_id: UUID, start: int = 0, length: int = WHOLE) -> bytes:
        delivery = await self.begin(visit, file_id, start, length)
        return b"".join([chunk async for chunk in delivery.chunks])

    async def send(
        self, visit: Visit, content: bytes = CONTENT, kind: Kind = Kind.OTHER, key: str | None = None, **said: Any
    ) -> FileView:
        """As the routes do."""
        arrival = Directed(Bytes(content, said=Details(kind), **said), visit.link)
        async with self.sharing.box(visit, said.get("announced"), WHOLE, key) as box:
            return await self.house.intake.take_in(
                visit.principal, arrival, ORIGIN, idempotency_key=box.key, counted=box.counted
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
    visits = Visits(house.database, hasher)
    house.intake._callers.add(CredentialKind.LINK, visits)
    house.revocations.add("links", end_links_of)
    return Desk(
        house=house,
        making=Making(house.database, hasher, house.identity.callers),
        visits=visits,
        sharing=Sharing(house.database, house.catalog),
        register=Register(house.database),
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
