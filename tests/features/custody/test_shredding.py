"""Shredding a case: nothing opens from its first transaction on, and a receipt says only what is so."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from portal.backends.blobs.base import StoreAway
from portal.core.errors import Forbidden, IntegrityError, NotFound, PortalError
from portal.core.ids import new_id
from portal.core.principal import Principal, Role
from portal.db.connection import Connection
from portal.db.unit_of_work import DatabaseAway
from portal.features.authz.policy import CaseShredded
from portal.features.authz.relation import CaseStatus
from portal.features.cases.catalog import CaseChanges
from portal.features.cases.views import CaseView
from portal.features.custody.service import NumberMismatch
from portal.features.custody.shredding import ATTEMPTS, CaseStillOpen
from portal.features.files.downloads import delivery
from portal.features.jobs.views import JobStatus
from portal.keyring import keyring as keyring_module
from portal.keyring.keyring import Keyring
from tests.features.files.conftest import CONTENT, ORIGIN, ShakyDatabase, drink

from .conftest import Vault


async def nothing_is_left(vault: Vault, case: CaseView) -> bool:
    """Whether no key, no record, no name, no digest and no byte of the case's files is left."""
    keys = [row for row in await vault.house.rows("data_keys") if row["scope"] == f"case:{case.id.hex}"]
    files = [row for row in await vault.house.rows("files") if row["scope"] == f"case:{case.id.hex}"]
    said = [row[name] for row in files for name in ("record", "sha256", "case_id")]
    return not keys and not any(said) and not await vault.house.rows("blobs") and not vault.house.store.blobs


async def test_a_case_is_shredded_and_its_receipt_says_what_was_in_it(vault: Vault) -> None:
    case = await vault.case(CaseStatus.OPEN, files=0)
    vault.house.announces = True
    small = await vault.house.hand_in(vault.lead, b"small", case_id=case.id)
    large = await vault.house.hand_in(vault.lead, b"large" * 600, case_id=case.id)
    (key,) = await vault.house.rows("data_keys")
    case = await vault.close(case)
    job = await vault.shred(case)
    await vault.work()
    assert await nothing_is_left(vault, case)
    said = await vault.receipt(case)
    assert said["case"] == {"id": str(case.id), "number": case.number}
    assert (said["requested_by"], said["approved_by"]) == (vault.admin.actor, None)
    assert [one["id"] for one in said["data_keys"]] == [str(UUID(str(key["id"])))]
    assert {one["id"]: (one["size"], one["sha256"], one["removed"]) for one in said["files"]} == {
        str(file.id): (file.size, file.sha256, True) for file in (small, large)
    }
    assert (said["blobs_removed"], said["blobs_left"], said["uploads_ended"]) == (2, 0, 0)
    assert len(said["not_proved"]) == 6
    assert small.name not in str(said)
    assert await vault.house.rows("shredded_files") == []
    begun, ended = await vault.house.record("case.shred_begun", "case.shredded")
    assert begun["subject"] == ended["subject"] == str(case.id)
    assert len(await vault.house.record("file.deleted")) == 2
    assert job.status is JobStatus.QUEUED


async def test_an_empty_case_has_a_receipt_too(vault: Vault) -> None:
    case = await vault.case(files=0)
    await vault.shred(case)
    await vault.work()
    said = await vault.receipt(case)
    assert (said["files"], said["data_keys"], said["blobs_removed"]) == ([], [], 0)


async def test_other_cases_and_inboxes_stay_as_they_are(vault: Vault) -> None:
    case, other = await vault.case(), await vault.house.open_case(vault.lead)
    kept = [await vault.house.hand_in(vault.lead, case_id=place) for place in (None, other.id)]
    await vault.shred(case)
    await vault.work()
    assert [await vault.house.fetch(vault.lead, file.id) for file in kept] == [CONTENT, CONTENT]


@pytest.mark.parametrize("status", [CaseStatus.OPEN, CaseStatus.IN_PROGRESS, CaseStatus.ON_HOLD])
async def test_a_case_that_is_not_closed_is_refused(vault: Vault, status: CaseStatus) -> None:
    case = await vault.case(CaseStatus.OPEN, files=1)
    if status is not CaseStatus.OPEN:
        await vault.house.cases.register.update(vault.lead, case.id, None, CaseChanges(status=status), ORIGIN)
    with pytest.raises(CaseStillOpen):
        await vault.shred(case)
    assert len(await vault.house.rows("data_keys")) == 1


async def test_another_cases_number_an_unknown_case_and_other_roles_are_refused(vault: Vault) -> None:
    case = await vault.case(files=1)
    for refused, by, case_id, number in (
        (NumberMismatch, vault.admin, case.id, "2020-0001"),
        (NotFound, vault.admin, new_id(), case.number),
        (Forbidden, vault.lead, case.id, case.number),
        (Forbidden, await vault.house.principal(Role.AUDITOR), case.id, case.number),
    ):
        with pytest.raises(refused):
            await vault.custody.shred(by, case_id, number, ORIGIN)
    assert len(await vault.house.rows("data_keys")) == 1
    with pytest.raises(Forbidden):
        await vault.custody.receipt(vault.lead, new_id())


async def test_from_the_first_transaction_on_nothing_goes_in_or_out(vault: Vault) -> None:
    case = await vault.case(files=1)
    (file,) = [row for row in await vault.house.rows("files") if row["scope"] != "none"]
    file_id, mine = UUID(str(file["id"])), await vault.house.hand_in(vault.lead)
    reopened = CaseChanges(status=CaseStatus.OPEN)
    await vault.shred(case)  # and no worker has its job yet
    attempts: list[Any] = [
        lambda: vault.house.hand_in(vault.lead, case_id=case.id),
        lambda: vault.house.fetch(vault.lead, file_id),
        lambda: vault.house.files.mover.move(vault.lead, mine.id, None, case.id, ORIGIN),
        lambda: vault.house.files.mover.move(vault.lead, file_id, None, None, ORIGIN),
        lambda: vault.house.catalog.delete(vault.lead, file_id, None, ORIGIN),
        lambda: vault.house.cases.register.update(vault.lead, case.id, None, reopened, ORIGIN),
        lambda: vault.house.cases.register.delete(vault.lead, case.id, None, ORIGIN),
    ]
    for attempt in attempts:
        with pytest.raises(CaseShredded):
            await attempt()
    assert (await vault.house.cases.register.get(vault.lead, case.id)).status is CaseStatus.SHREDDED


async def test_an_upload_that_runs_is_ended_and_leaves_nothing(vault: Vault) -> None:
    case = await vault.case(CaseStatus.OPEN, files=1)

    async def shredded() -> None:
        await vault.close(case)
        await vault.shred(case)
        await vault.work()

    with pytest.raises(PortalError):
        await vault.house.hand_in(vault.lead, b"x" * 4_000, case_id=case.id, meanwhile=shredded)
    assert (await vault.receipt(case))["uploads_ended"] == 1
    await vault.house.maintenance.sweep()
    assert await nothing_is_left(vault, case)


async def test_a_download_that_runs_is_cut_when_its_right_is_judged(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "_JUDGED_SECONDS", 0)
    case = await vault.case(CaseStatus.OPEN, files=0)
    file = await vault.house.hand_in(vault.lead, case_id=case.id)
    case = await vault.close(case)
    running, got = await vault.house.deliveries.start(vault.lead, file.id, ORIGIN), bytearray()
    got += await anext(running.chunks)
    await vault.shred(case)
    with pytest.raises(CaseShredded):
        await drink(running, got)
    assert len(got) < len(CONTENT)
    (ended,) = await vault.house.record("file.download_ended")
    assert ended["details"]["outcome"] == "revoked"


async def test_a_data_key_that_another_worker_has_cached_is_gone_when_its_row_is_read_again(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = await vault.case(files=1)
    own = vault.house.strongbox._keyring
    other = Keyring(vault.house.database, list(own._providers.values()))
    (row,) = await vault.house.rows("data_keys")
    key_id, scope = UUID(str(row["id"])), f"case:{case.id.hex}"
    now = time.monotonic() + keyring_module.ROW_SECONDS
    monkeypatch.setattr(keyring_module, "time", SimpleNamespace(monotonic=lambda: now))
    for worker in (own, other):
        assert (await worker.get(key_id, scope)).id == key_id
    await vault.shred(case)
    now += keyring_module.ROW_SECONDS
    for worker in (own, other):
        with pytest.raises(IntegrityError):
            await worker.get(key_id, scope)
    assert keyring_module.ROW_SECONDS <= 1


async def test_a_data_key_that_an_upload_made_meanwhile_goes_with_the_receipt(vault: Vault) -> None:
    case = await vault.case(files=1)
    await vault.shred(case)
    providers = list(vault.house.strongbox._keyring._providers.values())
    await Keyring(vault.house.database, providers).active(f"case:{case.id.hex}")
    await vault.work()
    assert await nothing_is_left(vault, case)
    assert len((await vault.receipt(case))["data_keys"]) == 2


class Dying(ShakyDatabase):
    """A database whose process dies in the transaction of this number, before or after its commit."""

    def __init__(self, inner: ShakyDatabase, at: int, *, late: bool) -> None:
        super().__init__(inner.engine)
        self._left, self._late = at, late

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Connection]:
        self._left -= 1
        if self._left == 0 and not self._late:
            raise DatabaseAway
        async with super().write() as connection:
            yield connection
        if self._left == 0:
            raise DatabaseAway


@pytest.mark.parametrize("late", [False, True])
async def test_a_shredding_that_is_cut_off_anywhere_goes_on_and_never_lies(vault: Vault, *, late: bool) -> None:
    for at in range(1, 8):
        case = await vault.case(files=2)
        await vault.shred(case)
        whole = vault.custody.shredder
        object.__setattr__(
            vault.custody, "shredder", replace(whole, database=Dying(vault.house.database, at, late=late))
        )
        await vault.work()
        assert await nothing_is_left(vault, case) or not await vault.has_receipt(case.id)
        object.__setattr__(vault.custody, "shredder", whole)
        if not await vault.has_receipt(case.id):
            await vault.work()
        said = await vault.receipt(case)
        assert [len(said[name]) for name in ("files", "data_keys")] == [2, 1]
        assert said["blobs_left"] == 0


async def test_blobs_that_cannot_be_removed_are_tried_again_and_named_at_last(vault: Vault) -> None:
    case = await vault.case(files=2)
    stubborn, *_ = sorted(vault.house.store.blobs)
    vault.house.store.stubborn.add(stubborn)
    job = await vault.shred(case)
    for attempt in range(ATTEMPTS):
        assert not await vault.has_receipt(case.id), attempt
        await vault.work()
    said = await vault.receipt(case)
    assert (said["blobs_removed"], said["blobs_left"]) == (1, 1)
    (left,) = [file for file in said["files"] if not file["removed"]]
    assert [blob["id"] for blob in left["blobs"]] == [stubborn]
    vault.house.store.stubborn.clear()
    await vault.house.maintenance.sweep()
    assert await nothing_is_left(vault, case)
    assert job.id is not None


async def test_a_store_that_is_away_leaves_the_keys_destroyed(vault: Vault) -> None:
    case = await vault.case(files=1)
    vault.house.store.failing["delete"] = StoreAway()
    await vault.shred(case)
    await vault.work()
    assert not await vault.has_receipt(case.id)
    assert [row["wrapped_key"] for row in await vault.house.rows("blobs")] == [None]
    vault.house.store.failing.clear()
    await vault.work()
    assert await nothing_is_left(vault, case)


async def test_a_second_shredding_is_the_same_job_and_later_refused(vault: Vault) -> None:
    case = await vault.case()
    jobs = await asyncio.gather(*(vault.shred(case) for _ in range(3)))
    assert len({job.id for job in jobs}) == 1
    await vault.work()
    with pytest.raises(CaseShredded):
        await vault.shred(case)


async def test_a_job_that_was_cancelled_is_asked_for_again(vault: Vault) -> None:
    case = await vault.case()
    first = await vault.shred(case)
    await vault.house.execute("UPDATE jobs SET status = 'cancelled'")
    assert (await vault.shred(case)).id != first.id
    await vault.work()
    assert await nothing_is_left(vault, case)


async def test_an_administrator_whose_role_was_lost_meanwhile_shreds_nothing(vault: Vault) -> None:
    case = await vault.case(files=1)
    stale: Principal = vault.admin
    await vault.house.execute("UPDATE users SET role = 'analyst'")
    with pytest.raises(PortalError):
        await vault.custody.shred(stale, case.id, case.number, ORIGIN)
    assert len(await vault.house.rows("data_keys")) == 1
