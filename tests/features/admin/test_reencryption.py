"""Which files get new keys and which do not, what is on record, and where a job goes on, on both databases."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from portal.backends.blobs.base import StoreAway
from portal.backends.keys.base import KeyProviderError
from portal.backends.keys.local import LocalKeyProvider
from portal.core import clock
from portal.core.errors import Forbidden, InvalidInput, NotFound, StorageFull
from portal.core.ids import new_id
from portal.core.principal import Principal
from portal.core.secrets import Secret
from portal.db.lease import LEASE
from portal.features.admin import reencrypt_job
from portal.features.admin.key_jobs import REWRAP
from portal.features.admin.keys import KeyNeeded, Keys
from portal.features.admin.reencrypt_job import MIB, REENCRYPT, Wanted, _Pace
from portal.features.admin.reencryption import FileKeys
from portal.features.admin.sealed_secrets import SealedSecrets
from portal.features.files.reencrypt import Reencryption
from portal.features.files.views import FileView
from portal.features.jobs import execution, queue
from portal.features.jobs.kinds import JobKind
from portal.features.jobs.running import JobLost
from portal.features.jobs.service import Jobs
from portal.features.jobs.views import Job, JobStatus
from portal.features.signing.keys import SigningKeys
from portal.keyring.keyring import Keyring
from portal.strongbox.strongbox import Strongbox

from ..files.conftest import CONTENT, GRACE, LAYOUT, ORIGIN, House, analyst, flip, house, later

__all__ = ["analyst", "house", "later"]

BY = "system:test"
SECRETS = (Secret(b"s" * 32),)
EVERYTHING = timedelta(days=1)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reencrypt_job, "ROW_SECONDS", 0)


def file_keys(house: House, *providers: Any) -> FileKeys:
    """The service, in a process with these master keys; without any with those of the house."""
    keyring = Keyring(house.database, providers) if providers else house.strongbox._keyring
    strongbox = Strongbox(house.strongbox.stores, keyring, (), LAYOUT)
    reencryption = Reencryption(house.database, strongbox, grace=GRACE)
    return FileKeys(house.database, keyring, reencryption, house.identity.authenticators)


async def done(of: FileKeys, job: Job | None) -> Job:
    """Run a job once, as a worker does, and read how it ended."""
    assert job is not None
    kind = JobKind(REENCRYPT, of.handle, max_attempts=5)
    claimed = await queue.claim(of.database, kind, "here")
    assert claimed is not None
    await execution.execute(of.database, kind, claimed, asyncio.Event())
    return await Jobs(of.database, ()).get(job.id)


async def reencrypt(of: FileKeys, wanted: Wanted) -> Job:
    return await done(of, (await of.reencrypt(BY, wanted, ORIGIN)).job)


async def selected(of: FileKeys, wanted: Wanted) -> int:
    return (await of.reencrypt(BY, wanted, ORIGIN, dry_run=True)).files


async def given(house: House) -> set[str]:
    """The files that got new keys, as the audit log tells."""
    return {event["subject"] for event in await house.record("file.reencrypted")}


def before_tomorrow() -> Wanted:
    return Wanted(sealed_before=clock.now() + EVERYTHING)


async def test_one_file_or_those_of_a_case_get_new_keys_and_no_others(house: House, analyst: Principal) -> None:
    of, case = file_keys(house), await house.open_case(analyst)
    inside, outside, other = [await house.hand_in(analyst, case_id=where) for where in (case.id, None, None)]
    job = await reencrypt(of, Wanted(case_id=case.id))
    assert (job.status, job.progress_done, job.progress_total) == (JobStatus.DONE, len(CONTENT), len(CONTENT))
    assert await given(house) == {str(inside.id)}
    assert (await reencrypt(of, Wanted(file_id=outside.id))).checkpoint["files"] == 1
    assert await given(house) == {str(inside.id), str(outside.id)}
    assert await selected(of, Wanted(file_id=other.id, case_id=case.id)) == 0  # each condition holds
    (asked, _) = await house.record("key.job_requested")
    assert asked["details"] == {
        "kind": REENCRYPT,
        **dict.fromkeys(("file_id", "key_id", "sealed_before", "mib_per_second")),
        "case_id": str(case.id),
        "files": 1,
        "bytes": len(CONTENT),
    }
    for file in (inside, outside, other):
        assert await house.fetch(analyst, file.id) == CONTENT


async def test_a_file_is_as_old_as_its_bytes(house: House, analyst: Principal) -> None:
    of, old = file_keys(house), await house.hand_in(analyst)
    await asyncio.sleep(0.002)  # ids tell milliseconds
    moment = clock.now()
    await house.hand_in(analyst)
    wanted = Wanted(sealed_before=moment)
    assert await selected(of, wanted) == 1
    await reencrypt(of, wanted)
    assert await given(house) == {str(old.id)}
    assert await selected(of, wanted) == 0


async def test_what_a_master_key_exposes_outlives_a_rewrap_and_a_move(house: House, analyst: Principal) -> None:
    """The stolen key opened old copies of the database: what it opened there is known, whatever wraps it now."""
    (stolen,) = house.strongbox._keyring._providers.values()
    case = await house.open_case(analyst)
    stays, leaves = [await house.hand_in(analyst, case_id=case.id) for _ in range(2)]
    new = LocalKeyProvider.random()
    of = file_keys(house, new, stolen)
    keys = Keys(
        house.database,
        of.keyring,
        SealedSecrets(house.database, SECRETS, SigningKeys(house.database, SECRETS)),
        house.identity.authenticators,
    )
    await rewrapped(keys)
    fresh = Keyring(house.database, [new, stolen])
    with_new = Strongbox(house.strongbox.stores, fresh, (), LAYOUT)
    house.files.mover._strongbox = with_new
    await house.files.mover.move(analyst, leaves.id, None, None, ORIGIN)
    wanted = Wanted(key_id=stolen.key_id)
    assert await selected(of, wanted) == 2
    assert (await reencrypt(of, wanted)).status is JobStatus.DONE
    assert await given(house) == {str(stays.id), str(leaves.id)}
    assert await selected(of, wanted) == 0
    alone = file_keys(house, new)  # the stolen one is gone
    assert await selected(alone, wanted) == 0
    assert (await reencrypt(alone, before_tomorrow())).checkpoint["files"] == 2


async def rewrapped(keys: Keys) -> None:
    await keys.rewrap(BY, ORIGIN)
    kind = JobKind(REWRAP, keys.handlers.rewrap)
    claimed = await queue.claim(keys.database, kind, "here")
    assert claimed is not None
    await keys.handlers.rewrap(claimed)


async def test_an_exposed_data_key_seals_no_new_file(house: House, analyst: Principal) -> None:
    of, file = file_keys(house, *house.strongbox._keyring._providers.values()), await house.hand_in(analyst)
    ((row,), key_id) = await house.rows("data_keys"), str(file.data_key_id)
    assert row["retired_at"] is None
    assert (await reencrypt(of, Wanted(key_id=key_id))).status is JobStatus.DONE
    assert len([row for row in await house.rows("data_keys") if row["retired_at"] is None]) == 1
    now = await house.found(file.id)
    assert now is not None
    assert str(now.data_key_id) != key_id
    assert [event["details"] for event in await house.record("key.rotated")] == [{"case_id": None, "data_keys": 1}]
    assert await selected(of, Wanted(key_id=key_id)) == 0


async def test_a_master_key_that_wraps_new_data_keys_is_refused(house: House, analyst: Principal) -> None:
    await house.hand_in(analyst)
    of = file_keys(house)
    first = of.keyring.provider_key_ids[0]
    with pytest.raises(KeyNeeded):
        await of.reencrypt(BY, Wanted(key_id=first), ORIGIN)
    new = LocalKeyProvider.random()
    job = (await file_keys(house, new, *of.keyring._providers.values()).reencrypt(BY, Wanted(key_id=first), ORIGIN)).job
    told = await done(of, job)  # by a process that was not restarted
    assert (told.status, told.attempts) == (JobStatus.QUEUED, 1)
    assert await given(house) == set()


async def test_something_is_named_and_known(house: House) -> None:
    of = file_keys(house)
    with pytest.raises(InvalidInput):
        await of.reencrypt(BY, Wanted(mib_per_second=1), ORIGIN)
    unknown = new_id()
    for wanted in (Wanted(unknown), Wanted(case_id=unknown), Wanted(key_id=str(unknown)), Wanted(key_id="x")):
        with pytest.raises(NotFound):
            await of.reencrypt(BY, wanted, ORIGIN)
    assert await house.record("key.job_requested") == []


async def test_only_an_administrator_asks(house: House, analyst: Principal) -> None:
    with pytest.raises(Forbidden):
        await file_keys(house).reencrypt(analyst, before_tomorrow(), ORIGIN)


async def test_jobs_of_one_selection_are_one_and_others_wait(house: House, analyst: Principal) -> None:
    of, file = file_keys(house), await house.hand_in(analyst)
    one, again, other = [
        (await of.reencrypt(BY, wanted, ORIGIN)).job
        for wanted in (Wanted(file.id), Wanted(file.id, mib_per_second=1), Wanted(key_id=str(file.data_key_id)))
    ]
    assert one is not None
    assert again is not None
    assert other is not None
    assert one.id == again.id != other.id
    assert len(await house.record("key.job_requested")) == 2


@pytest.fixture
async def files(house: House, analyst: Principal) -> list[FileView]:
    return [await house.hand_in(analyst) for _ in range(3)]


async def test_a_damaged_file_is_left_named_and_on_record(
    house: House, analyst: Principal, files: list[FileView]
) -> None:
    rows = {UUID(str(row["file_id"])): UUID(str(row["id"])).hex for row in await house.rows("blobs")}
    flip(house, 700, rows[files[1].id])
    of = file_keys(house)
    job = await reencrypt(of, before_tomorrow())
    assert (job.status, job.attempts) == (JobStatus.FAILED, 1)
    assert str(files[1].id) in str(job.last_error)
    assert (job.checkpoint["files"], job.checkpoint["left"], job.checkpoint["named"]) == (2, 1, [str(files[1].id)])
    (left,) = await house.record("file.not_reencrypted")
    assert (left["subject"], left["details"]) == (str(files[1].id), {"reason": "integrity_error"})
    assert await house.fetch(analyst, files[2].id) == CONTENT


async def test_a_file_whose_data_key_does_not_open_is_left(house: House, files: list[FileView]) -> None:
    of = file_keys(house, LocalKeyProvider.random())
    job = await reencrypt(of, before_tomorrow())
    assert (job.status, job.checkpoint["left"]) == (JobStatus.FAILED, len(files))
    reasons = [event["details"]["reason"] for event in await house.record("file.not_reencrypted")]
    assert reasons == ["not_configured"] * len(files)


async def test_a_full_disk_ends_the_job_and_a_retry_goes_on(house: House, files: list[FileView]) -> None:
    of = file_keys(house)
    house.store.failing["write"] = StorageFull()
    job = await reencrypt(of, before_tomorrow())
    assert (job.status, str(job.last_error)[:24]) == (JobStatus.FAILED, "job_failed: storage_full")
    assert await house.kept() == len(files)
    house.store.failing.clear()
    async with house.database.write() as connection:
        await Jobs(house.database, ()).retry(connection, job.id)
    assert (await done(of, job)).status is JobStatus.DONE


@pytest.mark.parametrize("away", [StoreAway(), KeyProviderError(reason="no answer in time", transient=True)])
@pytest.mark.usefixtures("files")
async def test_what_is_away_is_waited_for(house: House, away: Exception) -> None:
    house.store.failing["create"] = away
    job = await reencrypt(file_keys(house), before_tomorrow())
    assert (job.status, job.attempts) == (JobStatus.QUEUED, 1)
    assert await house.record("file.not_reencrypted") == []


class Killed(BaseException):
    """The process is gone."""


async def test_what_was_killed_goes_on_behind_the_last_file(
    house: House, files: list[FileView], later: Callable[[timedelta], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    of = file_keys(house)
    job = (await of.reencrypt(BY, before_tomorrow(), ORIGIN)).job
    taken, left = _Pace.taken, [Killed()]

    async def dies(self: _Pace, size: int) -> None:
        if len(await given(house)) == 1 and left:
            raise left.pop()
        await taken(self, size)

    monkeypatch.setattr(_Pace, "taken", dies)
    claimed = await queue.claim(house.database, JobKind(REENCRYPT, of.handle), "here")
    assert claimed is not None
    with pytest.raises(Killed):
        await of.handle(claimed)
    assert len(await given(house)) == 1
    later(2 * LEASE)
    ended = await done(of, job)
    assert (ended.status, ended.progress_done) == (JobStatus.DONE, len(files) * len(CONTENT))
    assert len(await house.record("file.reencrypted")) == len(files)


async def test_a_job_that_was_taken_over_swaps_nothing(house: House, files: list[FileView]) -> None:
    of = file_keys(house)
    await of.reencrypt(BY, before_tomorrow(), ORIGIN)
    claimed = await queue.claim(house.database, JobKind(REENCRYPT, of.handle), "here")
    assert claimed is not None
    await house.execute("UPDATE jobs SET claim_id = NULL WHERE kind = 'files.reencrypt'")
    with pytest.raises(JobLost):
        await of.handle(claimed)
    assert await given(house) == set()
    assert await house.kept() == len(files)


async def test_a_rate_is_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    pace = _Pace(2)
    for _ in range(3):
        await pace.taken(MIB)
    assert 1.4 < slept[-1] <= 1.5
    await _Pace(None).taken(MIB)
    assert len(slept) == 3
