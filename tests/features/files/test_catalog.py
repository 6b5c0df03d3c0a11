"""The catalogue: each sees what they may know of, a change names what it read, a delete destroys keys, then bytes."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from portal.backends.blobs.base import StoreAway
from portal.core import tasks
from portal.core.errors import (
    Forbidden,
    IntegrityError,
    NotFound,
    PortalError,
    PreconditionFailed,
    StorageFull,
    Unavailable,
)
from portal.core.ids import new_id
from portal.core.principal import Principal, Role
from portal.db.connection import Connection
from portal.features.audit import record
from portal.features.audit.events import Event
from portal.features.authz.visibility import Visibility
from portal.features.files import blob_rows
from portal.features.files.access import ANY_VERSION
from portal.features.files.catalog import Changes
from portal.features.files.listing import Filters
from portal.features.files.models import FileKind
from portal.features.files.views import FileView
from portal.strongbox.strongbox import Strongbox

from .conftest import CONTENT, GRACE, MARKER, ORIGIN, House

Verb = Callable[[House, Principal, FileView], Awaitable[Any]]


async def get(house: House, caller: Principal, file: FileView) -> Any:
    return await house.catalog.get(caller, file.id)


async def update(house: House, caller: Principal, file: FileView) -> Any:
    return await house.catalog.update(caller, file.id, 1, Changes(name="new"), ORIGIN)


async def delete(house: House, caller: Principal, file: FileView) -> Any:
    return await house.catalog.delete(caller, file.id, 1, ORIGIN)


OTHERS: dict[tuple[Role, Verb], type[PortalError] | None] = {
    (Role.ADMIN, get): None,
    (Role.ADMIN, update): None,
    (Role.ADMIN, delete): None,
    (Role.AUDITOR, get): None,
    (Role.AUDITOR, update): Forbidden,
    (Role.AUDITOR, delete): Forbidden,
    (Role.ANALYST, get): NotFound,
    (Role.ANALYST, update): NotFound,
    (Role.ANALYST, delete): NotFound,
    (Role.UPLOADER, get): NotFound,
    (Role.UPLOADER, update): NotFound,
    (Role.UPLOADER, delete): NotFound,
}


async def test_a_file_of_another_is_what_the_role_makes_it(house: House, analyst: Principal) -> None:
    callers = {role: await house.principal(role) for role in Role}
    for (role, verb), error in OTHERS.items():
        file = await house.hand_in(analyst)
        if error is None:
            await verb(house, callers[role], file)
            continue
        with pytest.raises(error):
            await verb(house, callers[role], file)
        assert await house.found(file.id) == file


@pytest.mark.parametrize("role", [Role.ADMIN, Role.ANALYST, Role.UPLOADER])
async def test_ones_own_file_is_read_changed_and_deleted(house: House, role: Role) -> None:
    caller = await house.principal(role)
    file = await house.hand_in(caller)
    assert await house.catalog.get(caller, file.id) == file
    changed = await house.catalog.update(caller, file.id, 1, Changes("new", FileKind.LOG, "why"), ORIGIN)
    assert (changed.name, changed.kind, changed.description, changed.version) == ("new", FileKind.LOG, "why", 2)
    await house.catalog.delete(caller, file.id, 2, ORIGIN)
    with pytest.raises(NotFound):
        await house.catalog.get(caller, file.id)


async def test_a_listing_shows_ones_own_or_everybodys(house: House, analyst: Principal) -> None:
    other = await house.principal()
    await house.hand_in(analyst, name="mine")
    await house.hand_in(other, name="theirs")

    async def seen(caller: Principal, **filters: Any) -> list[str]:
        page = await house.catalog.list(caller, Filters(**filters), None, 10)
        return sorted(file.name for file in page.items)

    assert await seen(analyst) == ["mine"]
    assert await seen(analyst, seen_by=Visibility(other.user_id, frozenset())) == ["mine"]
    for role in (Role.ADMIN, Role.AUDITOR):
        assert await seen(await house.principal(role)) == ["mine", "theirs"]
    assert await seen(await house.principal(Role.UPLOADER)) == []


async def test_a_listing_shows_a_file_but_nothing_that_opens_it(house: House, analyst: Principal) -> None:
    file = await house.hand_in(analyst)
    (shown,) = (await house.catalog.list(analyst, Filters(), None, 1)).items
    read = await house.catalog.get(analyst, file.id)
    assert shown == replace(read, data_key_id=None, record=None, request_digest=None)


async def test_a_page_tells_where_the_next_begins(house: House, analyst: Principal) -> None:
    files = [await house.hand_in(analyst) for _ in range(3)]
    first = await house.catalog.list(analyst, Filters(), None, 2)
    assert [file.id for file in first.items] == [files[2].id, files[1].id]
    assert first.next_after == (files[1].created_at, files[1].id)
    last = await house.catalog.list(analyst, Filters(), first.next_after, 2)
    assert ([file.id for file in last.items], last.next_after) == ([files[0].id], None)
    exact = await house.catalog.list(analyst, Filters(), None, 3)
    assert exact.next_after is None


async def test_a_change_of_an_older_version_is_refused(house: House, analyst: Principal) -> None:
    file = await house.hand_in(analyst)
    await house.catalog.update(analyst, file.id, 1, Changes(name="first"), ORIGIN)
    for version in (1, 3, 0):
        with pytest.raises(PreconditionFailed):
            await house.catalog.update(analyst, file.id, version, Changes(name="second"), ORIGIN)
        with pytest.raises(PreconditionFailed):
            await house.catalog.delete(analyst, file.id, version, ORIGIN)
    assert (await house.catalog.get(analyst, file.id)).name == "first"
    assert len(await house.record("file.updated", "file.deleted")) == 1


async def test_a_change_of_any_version_takes_the_current_one(house: House, analyst: Principal) -> None:
    file = await house.hand_in(analyst)
    for number in range(3):
        changed = await house.catalog.update(analyst, file.id, ANY_VERSION, Changes(name=str(number)), ORIGIN)
        assert changed.version == number + 2


async def test_of_many_changes_at_once_one_wins(house: House, analyst: Principal) -> None:
    file = await house.hand_in(analyst)
    done = await asyncio.gather(
        *(house.catalog.update(analyst, file.id, 1, Changes(name=str(n)), ORIGIN) for n in range(6)),
        return_exceptions=True,
    )
    (won,) = [view for view in done if isinstance(view, FileView)]
    assert sum(isinstance(error, PreconditionFailed) for error in done) == 5
    assert await house.catalog.get(analyst, file.id) == won
    assert len(await house.record("file.updated")) == 1


async def test_a_change_is_on_record_with_before_and_after(house: House, analyst: Principal) -> None:
    file = await house.hand_in(analyst, name="old")
    await house.catalog.update(analyst, file.id, 1, Changes(name="new", kind=FileKind.LOG), ORIGIN)
    (event,) = await house.record("file.updated")
    assert event["details"] == {"name_before": "old", "name_after": "new", "kind_before": "other", "kind_after": "log"}


async def test_a_change_keeps_the_bytes(house: House, analyst: Principal) -> None:
    file = await house.hand_in(analyst)
    await house.catalog.update(analyst, file.id, 1, Changes("new", FileKind.LOG, "x"), ORIGIN)
    assert await house.fetch(analyst, file.id) == CONTENT


@pytest.mark.parametrize("verb", [update, delete])
async def test_what_cannot_be_put_on_record_does_not_happen(
    house: House, analyst: Principal, verb: Verb, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = await house.hand_in(analyst)

    async def refuse(_connection: Connection, _event: Event) -> None:
        raise Unavailable

    with monkeypatch.context() as away:
        away.setattr(record, "write", refuse)
        with pytest.raises(Unavailable):
            await verb(house, analyst, file)
    assert await house.found(file.id) == file
    assert await house.fetch(analyst, file.id) == CONTENT


@pytest.mark.parametrize("content", [CONTENT, MARKER.encode()], ids=["ready", "quarantined"])
async def test_a_delete_leaves_neither_key_nor_byte(house: House, analyst: Principal, content: bytes) -> None:
    file = await house.hand_in(analyst, content)
    await house.at_once.delete(analyst, file.id, 1, ORIGIN)
    assert (await house.statuses(), house.store.blobs, await house.rows("blobs")) == (["deleted"], {}, [])
    (event,) = await house.record("file.deleted")
    assert event["details"] == {"name": file.name, "sha256": file.sha256, "case_id": None}
    with pytest.raises(NotFound):
        await house.catalog.delete(analyst, file.id, ANY_VERSION, ORIGIN)


async def test_a_delete_with_a_grace_leaves_bytes_and_no_key(house: House, analyst: Principal) -> None:
    file = await house.hand_in(analyst)
    await house.catalog.delete(analyst, file.id, 1, ORIGIN)
    (row,) = await house.rows("blobs")
    assert (await house.statuses(), len(house.store.blobs), row["wrapped_key"]) == (["deleted"], 1, None)
    with pytest.raises(NotFound):
        await house.fetch(analyst, file.id)


async def test_a_backup_from_before_opens_what_waits_and_nothing_else_does(
    house: House, analyst: Principal, later: Callable[[timedelta], None]
) -> None:
    file = await house.hand_in(analyst)
    (backup,) = await house.rows("blobs")
    await house.catalog.delete(analyst, file.id, 1, ORIGIN)
    await turn_back(house, file)
    with pytest.raises(IntegrityError):
        await house.fetch(analyst, file.id)
    await house.execute("UPDATE blobs SET goes_at = NULL, wrapped_key = :key", key=backup["wrapped_key"])
    assert await house.fetch(analyst, file.id) == CONTENT
    later(2 * GRACE)
    assert await house.maintenance.sweep() == 0  # what a restore brought back does not go any more
    assert await house.fetch(analyst, file.id) == CONTENT


async def turn_back(house: House, file: FileView) -> None:
    """The file's row is as it was."""
    told = {"name": file.name, "digest": file.sha256, "record": file.record}
    await house.execute("UPDATE files SET status = 'ready', name = :name, sha256 = :digest, record = :record", **told)


async def test_a_deleted_row_says_nothing_of_the_file_any_more(house: House, analyst: Principal) -> None:
    file = await house.hand_in(analyst)
    await house.catalog.update(analyst, file.id, 1, Changes("attic.log", FileKind.LOG, "found in the attic"), ORIGIN)
    await house.catalog.delete(analyst, file.id, 2, ORIGIN)
    (row,) = await house.rows("files")
    told = ("name", "name_folded", "description", "declared_type", "detected_type", "sha256", "record", "case_id")
    assert {row[column] for column in told} == {"", None}


async def test_keys_are_destroyed_before_bytes(
    house: House, analyst: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys: list[Any] = []
    file, real = await house.hand_in(analyst), Strongbox.destroy

    async def destroy(strongbox: Strongbox, store_id: str, blob_key: str) -> None:
        keys.extend(row["wrapped_key"] for row in await house.rows("blobs"))
        await real(strongbox, store_id, blob_key)

    monkeypatch.setattr(Strongbox, "destroy", destroy)
    await house.at_once.delete(analyst, file.id, 1, ORIGIN)
    assert keys == [None]


async def test_a_delete_whose_bytes_stay_behind_is_a_delete(house: House, analyst: Principal) -> None:
    file = await house.hand_in(analyst)
    house.store.failing["delete"] = StoreAway()
    await house.at_once.delete(analyst, file.id, 1, ORIGIN)
    with pytest.raises(NotFound):
        await house.fetch(analyst, file.id)
    with pytest.raises(NotFound):
        await house.catalog.get(analyst, file.id)


async def test_a_delete_on_a_full_disk_is_a_delete(
    house: House, analyst: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: Any) -> None:
        raise StorageFull

    file = await house.hand_in(analyst)
    with monkeypatch.context() as disk:
        disk.setattr(blob_rows, "forget", full)
        await house.at_once.delete(analyst, file.id, 1, ORIGIN)
    assert await house.maintenance.sweep() == 1
    assert await house.statuses() == ["deleted"]


async def test_a_deleted_file_whose_status_is_turned_back_stays_closed(house: House, analyst: Principal) -> None:
    file = await house.hand_in(analyst)
    house.store.failing["delete"] = StoreAway()
    await house.at_once.delete(analyst, file.id, 1, ORIGIN)
    await house.execute("UPDATE files SET status = 'ready', record = :record", record=file.record)
    with pytest.raises(IntegrityError):
        await house.fetch(analyst, file.id)


async def test_a_cancelled_delete_goes_on_to_its_end(
    house: House, analyst: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, reached, gate, real = await house.hand_in(analyst), asyncio.Event(), asyncio.Event(), Strongbox.destroy

    async def slow(strongbox: Strongbox, store_id: str, blob_key: str) -> None:
        reached.set()
        await gate.wait()
        await real(strongbox, store_id, blob_key)

    monkeypatch.setattr(Strongbox, "destroy", slow)
    removal = asyncio.create_task(house.at_once.delete(analyst, file.id, 1, ORIGIN))
    await reached.wait()
    removal.cancel()
    with pytest.raises(asyncio.CancelledError):
        await removal
    gate.set()
    await tasks.drain()
    assert (await house.statuses(), house.store.blobs) == (["deleted"], {})


async def test_what_is_not_there_is_not_found(house: House, analyst: Principal) -> None:
    for verb in (
        house.catalog.get(analyst, new_id()),
        house.catalog.update(analyst, new_id(), 1, Changes(name="x"), ORIGIN),
        house.catalog.delete(analyst, new_id(), 1, ORIGIN),
    ):
        with pytest.raises(NotFound):
            await verb


async def test_a_delete_removes_the_bytes_whatever_their_row_says_of_where_they_are(
    house: House, analyst: Principal
) -> None:
    file = await house.hand_in(analyst)
    await house.execute("UPDATE blobs SET store = 'row'")
    await house.at_once.delete(analyst, file.id, None, ORIGIN)
    assert house.store.blobs == {}
