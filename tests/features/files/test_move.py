"""A file moves by those who may, its keys with it, whole or not at all."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest

from portal.core.errors import Forbidden, IntegrityError, NotFound, PreconditionFailed, Unavailable
from portal.core.ids import new_id
from portal.core.principal import CredentialKind, Principal, Role
from portal.db.connection import Connection
from portal.features.authz.policy import CaseReadOnly
from portal.features.authz.relation import CaseRole, CaseStatus, Tlp
from portal.features.authz.tlp import TlpForbidsMove
from portal.features.cases.catalog import CaseChanges
from portal.features.files import blob_rows, repository
from portal.features.files.blob_rows import FileMoved
from portal.features.files.catalog import Changes
from portal.features.files.views import FileView
from tests.reliability.amounts import amount

from .conftest import CONTENT, ORIGIN, House, drink, flip

LEAD, CONTRIBUTOR, READER, UPLOADER = CaseRole


async def move(
    house: House, who: Principal, file: FileView, case_id: UUID | None, version: int | None = None
) -> FileView:
    return await house.files.mover.move(who, file.id, version, case_id, ORIGIN)


async def keys(house: House) -> tuple[Any, ...]:
    (row,) = await house.rows("files")
    (blob,) = await house.rows("blobs")
    return row["scope"], row["data_key_id"], row["record"], blob["data_key_id"], blob["wrapped_key"]


async def test_a_moved_file_opens_where_it_is_and_no_byte_of_it_was_touched(house: House, analyst: Principal) -> None:
    first, second = await house.open_case(analyst), await house.open_case(analyst)
    file = await house.hand_in(analyst)
    sealed, seen = dict(house.store.blobs), [await keys(house)]
    for version, target in enumerate((first.id, second.id, None), start=1):
        moved = await move(house, analyst, file, target, version)
        assert (moved.case_id, moved.version, moved.sha256) == (target, version + 1, file.sha256)
        assert moved.scope == ("none" if target is None else f"case:{target.hex}")
        assert await house.fetch(analyst, file.id) == CONTENT
        assert [checked.problem async for checked in house.maintenance.fsck(full=True)] == [None]
        seen.append(await keys(house))
    assert house.store.blobs == sealed
    assert len({key[4] for key in seen}) == 4  # every wrap is its own
    assert seen[0][:2] == seen[3][:2]
    events = [event["details"] for event in await house.record("file.moved")]
    places = [None, str(first.id), str(second.id), None]
    assert events == [{"case_before": before, "case_after": after} for before, after in pairwise(places)]


async def test_a_credential_for_one_case_moves_nothing_out_of_it_or_in(house: House, analyst: Principal) -> None:
    case, other = await house.open_case(analyst), await house.open_case(analyst)
    confined = replace(analyst, kind=CredentialKind.TOKEN, case_id=case.id)
    inside = await house.hand_in(analyst, case_id=case.id)
    for target in (None, other.id):
        with pytest.raises(NotFound):
            await move(house, confined, inside, target)
    for outside in (await house.hand_in(analyst), await house.hand_in(analyst, case_id=other.id)):
        with pytest.raises(NotFound):
            await move(house, confined, outside, case.id)
    assert (await house.catalog.get(confined, inside.id)).case_id == case.id


@pytest.mark.parametrize("tlp", [Tlp.RED, Tlp.AMBER_STRICT])
async def test_evidence_keeps_the_protection_of_its_colour_until_it_is_lowered(
    house: House, analyst: Principal, tlp: Tlp
) -> None:
    strict, as_strict, lighter = [await house.open_case(analyst) for _ in range(3)]
    for case in (strict, as_strict):
        await house.cases.register.update(analyst, case.id, None, CaseChanges(tlp=tlp), ORIGIN)
    file = await house.hand_in(analyst, case_id=strict.id)
    for target in (None, lighter.id):
        with pytest.raises(TlpForbidsMove):
            await move(house, analyst, file, target)
    assert (await move(house, analyst, file, as_strict.id)).case_id == as_strict.id
    await house.cases.register.update(analyst, as_strict.id, None, CaseChanges(tlp=Tlp.AMBER), ORIGIN)
    assert (await move(house, analyst, file, None)).case_id is None


async def test_what_was_known_of_the_file_before_opens_nothing_afterwards(house: House, analyst: Principal) -> None:
    case, file = await house.open_case(analyst), await house.hand_in(analyst)
    before = await keys(house)
    await move(house, analyst, file, case.id)
    for column, value in zip(("scope", "data_key_id", "record"), before, strict=False):
        (row,) = await house.rows("files")
        await house.execute(f"UPDATE files SET {column} = :value", value=value)  # noqa: S608  # a column's name
        with pytest.raises(IntegrityError):
            await house.fetch(analyst, file.id)
        await house.execute(f"UPDATE files SET {column} = :value", value=row[column])  # noqa: S608
    await house.execute("UPDATE blobs SET wrapped_key = :value", value=before[4])
    with pytest.raises(IntegrityError):
        await house.fetch(analyst, file.id)


async def test_a_moved_file_is_exported(house: House, analyst: Principal) -> None:
    case, file = await house.open_case(analyst), await house.hand_in(analyst)
    (before,) = await house.maintenance.export(file.id, actor="system:cli/x")
    await move(house, analyst, file, case.id)
    (after,) = await house.maintenance.export(file.id, actor="system:cli/x")
    assert (after.key, after.associated_data) == (before.key, before.associated_data)


IN = {LEAD: None, CONTRIBUTOR: None, UPLOADER: None, READER: Forbidden, None: NotFound}


@pytest.mark.parametrize("role", IN)
async def test_an_owner_hands_in_where_they_may(house: House, analyst: Principal, role: CaseRole | None) -> None:
    lead = await house.principal()
    case, file = await house.open_case(lead), await house.hand_in(analyst)
    if role is not None:
        await house.let_in(lead, case.id, analyst, role)
    error = IN[role]
    if error is None:
        assert (await move(house, analyst, file, case.id)).case_id == case.id
        assert await house.fetch(lead, file.id) == CONTENT
    else:
        with pytest.raises(error):
            await move(house, analyst, file, case.id)
        assert await house.found(file.id) == file


OUT = {LEAD: None, CONTRIBUTOR: Forbidden, READER: Forbidden, UPLOADER: Forbidden, None: NotFound}


@pytest.mark.parametrize("role", OUT)
async def test_a_lead_takes_a_file_out_of_a_case_and_nobody_else(
    house: House, analyst: Principal, role: CaseRole | None
) -> None:
    lead = await house.principal()
    case = await house.open_case(lead)
    await house.let_in(lead, case.id, analyst, CONTRIBUTOR)
    file, elsewhere = await house.hand_in(analyst, case_id=case.id), await house.open_case(analyst)
    if role is None:
        await house.cases.members.remove(lead, case.id, analyst.user_id, ORIGIN)
    elif role is not CONTRIBUTOR:
        await house.cases.members.set_role(lead, case.id, analyst.user_id, role, ORIGIN)
    for target in (elsewhere.id, None):  # not even into the inbox of whoever handed it in
        if (error := OUT[role]) is None:
            assert (await move(house, analyst, file, target)).case_id == target
        else:
            with pytest.raises(error):
                await move(house, analyst, file, target)
            assert await house.found(file.id) == file


async def test_a_lead_does_not_take_what_another_handed_in_into_an_inbox(house: House, analyst: Principal) -> None:
    contributor = await house.principal()
    case = await house.open_case(analyst, contributor=contributor)
    file = await house.hand_in(contributor, case_id=case.id)
    with pytest.raises(Forbidden):
        await move(house, analyst, file, None)


async def test_an_administrator_moves_nothing_to_where_they_could_read_it(house: House, analyst: Principal) -> None:
    admin = await house.principal(Role.ADMIN)
    case, theirs = await house.open_case(analyst), await house.open_case(admin)
    for file in (await house.hand_in(analyst), await house.hand_in(analyst, case_id=case.id)):
        for target in (theirs.id, case.id, None):
            with pytest.raises(Forbidden):
                await move(house, admin, file, target)


async def test_an_auditor_moves_nothing(house: House, analyst: Principal) -> None:
    case, file = await house.open_case(analyst), await house.hand_in(analyst)
    with pytest.raises(Forbidden):
        await move(house, await house.principal(Role.AUDITOR), file, case.id)


async def test_a_case_that_is_not_there_is_like_one_of_others(house: House, analyst: Principal) -> None:
    theirs, file = await house.open_case(await house.principal()), await house.hand_in(analyst)
    answers = []
    for target in (theirs.id, new_id()):
        with pytest.raises(NotFound) as refused:
            await move(house, analyst, file, target)
        answers.append(str(refused.value))
    assert answers[0] == answers[1]


@pytest.mark.parametrize("end", ["from", "to"])
async def test_a_closed_case_gives_and_takes_nothing(house: House, analyst: Principal, end: str) -> None:
    closed, live = await house.open_case(analyst), await house.open_case(analyst)
    source, target = (closed, live) if end == "from" else (live, closed)
    file = await house.hand_in(analyst, case_id=source.id)
    await house.cases.register.update(analyst, closed.id, None, CaseChanges(status=CaseStatus.CLOSED), ORIGIN)
    with pytest.raises(CaseReadOnly):
        await move(house, analyst, file, target.id)
    assert await house.found(file.id) == file


async def test_a_move_of_another_version_is_refused(house: House, analyst: Principal) -> None:
    case, file = await house.open_case(analyst), await house.hand_in(analyst)
    await house.catalog.update(analyst, file.id, 1, Changes(name="x"), ORIGIN)
    for version in (0, 1, 3):
        with pytest.raises(PreconditionFailed):
            await move(house, analyst, file, case.id, version)
    assert await house.record("file.moved") == []
    assert await house.fetch(analyst, file.id) == CONTENT


@pytest.mark.race
async def test_of_many_moves_at_once_each_is_whole_in_every_race(house: House, analyst: Principal) -> None:
    cases = [await house.open_case(analyst) for _ in range(3)]
    file, mover = await house.hand_in(analyst), 0
    for turn in range(amount("RACES")):
        targets = [cases[(turn + n) % 3].id for n in range(2)]
        attempts = [move(house, analyst, file, target) for target in targets]
        answers = await asyncio.gather(*attempts, return_exceptions=True)
        assert [a for a in answers if not isinstance(a, FileView | PreconditionFailed | FileMoved)] == []
        mover += sum(isinstance(a, FileView) for a in answers)
        assert await house.fetch(analyst, file.id) == CONTENT
    assert mover >= amount("RACES")
    assert len(await house.record("file.moved")) == mover
    now = await house.found(file.id)
    assert now is not None
    assert now.version == 1 + mover


async def test_a_file_read_while_it_moves_is_never_called_damaged(house: House, analyst: Principal) -> None:
    case, file = await house.open_case(analyst), await house.hand_in(analyst)
    there = False

    async def back_and_forth() -> None:
        nonlocal there
        for _ in range(50):
            await move(house, analyst, file, None if there else case.id)
            there = not there

    async def read() -> None:
        while not moving.done():
            with contextlib.suppress(FileMoved):  # ask again
                assert await house.fetch(analyst, file.id) == CONTENT
            assert [checked.problem async for checked in house.maintenance.fsck()] == [None]

    moving = asyncio.create_task(back_and_forth())
    await read()
    await moving
    assert await house.record("file.damaged") == []


@pytest.fixture
def moved_half_way(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Awaitable[Any]]], None]:
    """Has something happen once, between the reading of a file's row and of its parts'."""
    real = blob_rows.parts

    def then(happens: Callable[[], Awaitable[Any]]) -> None:
        async def parts(connection: Connection, file: FileView) -> Any:
            monkeypatch.setattr(blob_rows, "parts", real)
            await happens()
            return await real(connection, file)

        monkeypatch.setattr(blob_rows, "parts", parts)

    return then


Meanwhile = Callable[[Callable[[], Awaitable[Any]]], None]


async def test_a_check_that_met_a_move_half_way_looks_again(
    house: House, analyst: Principal, moved_half_way: Meanwhile
) -> None:
    case, file = await house.open_case(analyst), await house.hand_in(analyst)
    moved_half_way(lambda: move(house, analyst, file, case.id))
    assert [checked.problem async for checked in house.maintenance.fsck(full=True)] == [None]
    assert len(await house.record("file.moved")) == 1
    assert await house.record("file.damaged") == []


async def test_an_export_that_met_a_move_half_way_is_asked_for_again(
    house: House, analyst: Principal, moved_half_way: Meanwhile
) -> None:
    case, file = await house.open_case(analyst), await house.hand_in(analyst)
    moved_half_way(lambda: move(house, analyst, file, case.id))
    with pytest.raises(FileMoved):
        await house.maintenance.export(file.id, actor="system:cli/x")
    assert len(await house.maintenance.export(file.id, actor="system:cli/x")) == 1


async def test_a_download_that_met_a_move_half_way_did_not_begin(
    house: House, analyst: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only where two statements of one transaction see two moments: as if the move had come between them."""
    case, file = await house.open_case(analyst), await house.hand_in(analyst)
    await move(house, analyst, file, case.id)
    real = repository.find_for

    async def as_it_was(connection: Connection, file_id: UUID, user_id: UUID) -> Any:
        found = await real(connection, file_id, user_id)
        return found and (file, found[1])

    monkeypatch.setattr(repository, "find_for", as_it_was)
    with pytest.raises(FileMoved):
        await house.deliveries.start(analyst, file.id, ORIGIN)
    assert await house.record("file.download_started", "file.damaged") == []


async def test_a_running_download_goes_on_through_a_move(house: House, analyst: Principal) -> None:
    case, file = await house.open_case(analyst), await house.hand_in(analyst)
    running = await house.deliveries.start(analyst, file.id, ORIGIN)
    got = bytearray(await anext(running.chunks))
    await move(house, analyst, file, case.id)
    await drink(running, got)
    assert got == CONTENT


async def test_a_damaged_file_is_not_moved_and_stays_as_it_was(house: House, analyst: Principal) -> None:
    case, file = await house.open_case(analyst), await house.hand_in(analyst)
    await house.execute("UPDATE files SET size = size + 1")
    with pytest.raises(IntegrityError):
        await move(house, analyst, file, case.id)
    assert await house.record("file.moved") == []


async def test_damage_of_the_bytes_moves_along_and_is_found(house: House, analyst: Principal) -> None:
    case, file = await house.open_case(analyst), await house.hand_in(analyst)
    flip(house, -1)
    await move(house, analyst, file, case.id)
    assert [checked.problem async for checked in house.maintenance.fsck(full=True)] == ["damaged"]


async def test_a_move_that_cannot_be_put_on_record_does_not_happen(house: House, analyst: Principal) -> None:
    case, file = await house.open_case(analyst), await house.hand_in(analyst)
    before = await keys(house)
    house.database.away = True
    with pytest.raises(Unavailable):
        await move(house, analyst, file, case.id)
    house.database.away = False
    assert await keys(house) == before
    assert await house.fetch(analyst, file.id) == CONTENT


async def test_a_deleted_file_is_not_moved(house: House, analyst: Principal) -> None:
    case, file = await house.open_case(analyst), await house.hand_in(analyst)
    await house.catalog.delete(analyst, file.id, None, ORIGIN)
    with pytest.raises(NotFound):
        await move(house, analyst, file, case.id)


@pytest.mark.parametrize("what", ["member of the target", "member of the source", "the target closed"])
async def test_a_right_that_ends_while_keys_are_wrapped_moves_nothing(
    house: House, analyst: Principal, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    lead = await house.principal()
    source, target = await house.open_case(lead), await house.open_case(lead, contributor=analyst)
    await house.let_in(lead, source.id, analyst, LEAD)
    file = await house.hand_in(analyst, case_id=source.id)
    real = house.strongbox.rewrap

    async def meanwhile(*given: Any) -> Any:
        if what == "the target closed":
            await house.cases.register.update(lead, target.id, None, CaseChanges(status=CaseStatus.CLOSED), ORIGIN)
        else:
            left = target if what == "member of the target" else source
            await house.cases.members.remove(lead, left.id, analyst.user_id, ORIGIN)
        return await real(*given)

    monkeypatch.setattr(house.strongbox, "rewrap", meanwhile)
    with pytest.raises((NotFound, CaseReadOnly)):
        await move(house, analyst, file, target.id)
    assert await house.found(file.id) == file
    assert await house.record("file.moved") == []
