"""Listings beside a list made by hand: for each caller, order and filter, page by page.

The files lie in more cases than a page has rows. Times repeat, so that the id decides. What is random has one seed.
"""

import itertools
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from portal.core import clock
from portal.core.ids import new_id
from portal.core.principal import Principal, Role
from portal.features.authz.relation import CaseRole
from portal.features.authz.visibility import visible_to
from portal.features.files import grant_rows, listing, repository
from portal.features.files.grant_rows import Grant
from portal.features.files.listing import Filters, list_page
from portal.features.files.models import FileKind, Status
from portal.features.files.order import FileOrder

from .conftest import House
from .test_repository import new_file

START = datetime(2026, 1, 1, tzinfo=UTC)
LIMIT = 3
STATUSES = (Status.READY, Status.READY, Status.QUARANTINED, Status.DELETED)
FILTERS: dict[str, Any] = {
    "kind": FileKind.LOG,
    "sha256": "a" * 64,
    "name": "Xx",
    "created_from": START + timedelta(5),
    "created_to": START + timedelta(20),
    "available_from": START + timedelta(6),
    "available_to": START + timedelta(21),
}


class World:
    """Files in inboxes and cases, some of them granted to `ana`; `bob` leads every case."""

    def __init__(self, house: House) -> None:
        self.house, self.chance = house, random.Random(7)  # noqa: S311  # no secret
        self.files: list[dict[str, Any]] = []
        self.roles: dict[tuple[UUID, UUID | None], CaseRole] = {}
        self.granted: set[UUID] = set()

    async def fill(self) -> None:
        self.ana, self.bob = await self.house.principal(), await self.house.principal()
        self.uploader, self.admin = await self.house.principal(Role.UPLOADER), await self.house.principal(Role.ADMIN)
        self.callers = (self.ana, self.bob, self.uploader, self.admin)
        self.places: list[UUID | None] = [None, *[await self._case(number) for number in range(8)]]
        await self.add(80)
        async with self.house.database.write() as connection:
            for file in self.chance.sample(self.files, 25):
                if file["case_id"] is not None or file["owner_id"] == self.bob.user_id:
                    end = clock.now() + timedelta(1)
                    given = Grant(new_id(), file["id"], self.ana.user_id, "", self.bob.user_id, START, end)
                    await grant_rows.put(connection, given)
                    self.granted.add(file["id"])

    async def add(self, files: int) -> None:
        async with self.house.database.write() as connection:
            for file in [self._file() for _ in range(files)]:
                assert await repository.add(connection, file)
                self.files.append(file)

    async def _case(self, number: int) -> UUID:
        case = await self.house.open_case(self.bob)
        members = {self.bob: CaseRole.LEAD}
        if number % 4:
            members |= {
                self.ana: CaseRole.UPLOADER if number == 1 else CaseRole.READER,
                self.uploader: CaseRole.UPLOADER,
            }
        for member, role in members.items():
            self.roles[member.user_id, case.id] = role
            if member is not self.bob:
                await self.house.let_in(self.bob, case.id, member, role)
        return case.id

    def _file(self) -> dict[str, Any]:
        at = START + timedelta(self.chance.randrange(25))
        return new_file(
            self.chance.choice((self.ana, self.bob, self.uploader)),
            case_id=self.chance.choice(self.places),
            kind=self.chance.choice((FileKind.OTHER, FileKind.LOG)).value,
            status=self.chance.choice(STATUSES).value,
            sha256=self.chance.choice("ab") * 64,
            name=self.chance.choice("xy") * 3,
            created_at=at,
            available_at=at + timedelta(self.chance.choice((0, 0, 1, 5))),
            lease_until=None,
        )

    def _sees(self, caller: Principal, file: dict[str, Any]) -> bool:
        role = self.roles.get((caller.user_id, file["case_id"]))
        mine = file["owner_id"] == caller.user_id
        granted = caller is self.ana and not mine and file["id"] in self.granted
        in_reach = (mine and (file["case_id"] is None or role is not None)) or role in visible_to(caller).roles
        return file["status"] != Status.DELETED and (caller is self.admin or in_reach or granted)

    def by_hand(self, caller: Principal, order: FileOrder, asked: dict[str, Any]) -> list[UUID]:
        by = "created_at" if order is FileOrder.NEWEST else "available_at"
        found = [file for file in self.files if self._sees(caller, file) and _matches(file, asked)]
        found.sort(key=lambda file: (file[by], file["id"]), reverse=order is FileOrder.NEWEST)
        return [file["id"] for file in found]

    async def paged(self, caller: Principal, order: FileOrder, asked: dict[str, Any]) -> list[UUID]:
        filters = Filters(visible_to(caller), order=order, **asked)
        seen: list[UUID] = []
        after = None
        while True:
            async with self.house.database.read() as connection:
                page = await list_page(connection, filters, after, LIMIT)
            seen += [file.id for file in page]
            if len(page) < LIMIT:
                return seen
            after = filters.place(page[-1])


def _matches(file: dict[str, Any], asked: dict[str, Any]) -> bool:
    for name, value in asked.items():
        column, _, side = name.partition("_")
        if side in {"from", "to"}:
            at = file[f"{column}_at"]
            matches = at >= value if side == "from" else at < value
        else:
            matches = value.casefold() in file["name"] if name == "name" else file[name] == value
        if not matches:
            return False
    return True


def listings(world: World) -> Iterator[tuple[Principal, FileOrder, dict[str, Any]]]:
    """All callers and orders without a filter; each filter and each pair of them with some caller and order."""
    yield from itertools.product(world.callers, FileOrder, [{}])
    filters = FILTERS | {"case_id": world.places[2]}
    for asked in [*itertools.combinations(filters.items(), 1), *itertools.combinations(filters.items(), 2)]:
        yield world.chance.choice(world.callers), world.chance.choice(list(FileOrder)), dict(asked)


@pytest.mark.parametrize("few", [0, 1_000], ids=["walked", "counted"])
async def test_a_listing_is_that_of_all_files_that_the_caller_sees_in_order(
    house: House, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(listing, "FEW", few)
    world = World(house)
    await world.fill()
    shown = 0
    for caller, order, asked in listings(world):
        expected = world.by_hand(caller, order, asked)
        assert await world.paged(caller, order, asked) == expected, (asked, order, world.callers.index(caller))
        shown += len(expected)
    assert shown > 200
