"""Operations on keys, on both databases: what is done to which data keys, what is on record, and where it goes on."""

import asyncio
import contextlib
import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import event, select

from portal.backends.keys.base import KeyProviderError
from portal.backends.keys.local import LocalKeyProvider
from portal.core import clock
from portal.core.errors import Forbidden, NotFound, NotSignedIn
from portal.core.ids import new_id
from portal.core.key_scopes import NO_CASE, scope_of
from portal.core.principal import NOWHERE, CredentialKind, Principal, Role
from portal.core.secrets import Secret
from portal.db.lease import LEASE
from portal.db.unit_of_work import Database
from portal.features.admin import key_jobs
from portal.features.admin.key_jobs import RESEAL, REWRAP, VERIFY
from portal.features.admin.keys import KeyNeeded, Keys
from portal.features.admin.sealed_secrets import SealedSecrets
from portal.features.audit.models import AuditRow
from portal.features.identity import factor_rows, repository
from portal.features.identity.authenticators import Authenticators
from portal.features.identity.repository import User
from portal.features.identity.totp import TotpSecrets
from portal.features.jobs import execution, queue
from portal.features.jobs.kinds import JobKind
from portal.features.jobs.service import Jobs
from portal.features.jobs.views import Job, JobStatus
from portal.features.signing.keys import SigningKeys
from portal.keyring import keyring as keyring_module
from portal.keyring.keyring import ROW_SECONDS, Keyring

from ...keyring.counting import CountingProvider
from .stage import Versioned, add_case

SCOPES = [NO_CASE, *(f"case:{number:032x}" for number in range(120))]  # more than a page
OLD, NEW = Secret(b"o" * 32), Secret(b"n" * 32)
BY = "system:test"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_jobs, "VERIFY_SECONDS", 0)


def keys(database: Database, *providers: Any, secret_keys: tuple[Secret, ...] = (NEW, OLD)) -> Keys:
    signing = SigningKeys(database, secret_keys)
    sealed = SealedSecrets(database, secret_keys, signing)
    return Keys(database, Keyring(database, providers), sealed, Authenticators())


async def uses(of: Keys) -> list[tuple[str, int]]:
    return [(key.key_id, key.data_keys) for key in (await of.status(BY)).master_keys]


async def outdated(of: Keys) -> int:
    return (await of.status(BY)).outdated_authenticators


async def record_of(database: Database, kind: str) -> list[dict[str, Any]]:
    async with database.read() as connection:
        found = await connection.execute(select(AuditRow.body).where(AuditRow.event == kind))  # type: ignore[call-overload]
        return [json.loads(body) for (body,) in found]


async def run(of: Keys, job: Job | None) -> Job:
    """Run a job once, as a worker does, and read how it ended."""
    assert job is not None
    handler = {REWRAP: of.handlers.rewrap, VERIFY: of.handlers.verify, RESEAL: of.handlers.reseal}[job.kind]
    kind = JobKind(job.kind, handler, max_attempts=5)
    claimed = await queue.claim(of.database, kind, "here")
    assert claimed is not None
    await execution.execute(of.database, kind, claimed, asyncio.Event())
    return await Jobs(of.database, ()).get(job.id)


async def rewrap(of: Keys) -> Job:
    return await run(of, (await of.rewrap(BY, NOWHERE)).job)


async def reseal(of: Keys) -> Job:
    return await run(of, (await of.reseal(BY, NOWHERE)).job)


async def test_every_data_key_is_brought_under_the_first_master_key_and_opens_by_that_alone(database: Database) -> None:
    old, new = LocalKeyProvider.random(), LocalKeyProvider.random()
    before = Keyring(database, [old])
    made = [await before.active(scope) for scope in SCOPES]
    moving = keys(database, new, old)
    assert await uses(moving) == [(new.key_id, 0), (old.key_id, len(SCOPES))]
    job = await rewrap(moving)
    assert (job.status, job.progress_done, job.progress_total) == (JobStatus.DONE, len(SCOPES), len(SCOPES))
    assert await uses(moving) == [(new.key_id, len(SCOPES)), (old.key_id, 0)]
    after = Keyring(database, [new])
    for key in made:
        assert await after.get(key.id, key.scope) == key
    assert (await after.active(made[0].scope)).id != made[0].id
    events = await record_of(database, "key.rewrapped")
    assert {event["subject"] for event in events} == {str(key.id) for key in made}
    assert events[0]["details"]["key_before"] == old.key_id
    assert (await moving.rewrap(BY, NOWHERE, dry_run=True)).data_keys == 0


async def test_a_dry_run_counts_and_changes_nothing(database: Database) -> None:
    old, new = LocalKeyProvider.random(), LocalKeyProvider.random()
    before = Keyring(database, [old])
    for scope in SCOPES[:2]:
        await before.active(scope)
    moving = keys(database, new, old)
    found = await moving.rewrap(BY, NOWHERE, dry_run=True)
    assert (found.data_keys, found.scopes, found.job) == (2, 2, None)
    assert await uses(moving) == [(new.key_id, 0), (old.key_id, 2)]
    assert await record_of(database, "key.job_requested") == []


async def test_a_newer_version_of_the_first_master_key_is_moved_to(database: Database) -> None:
    provider = Versioned()
    moving = keys(database, provider)
    key = await moving.keyring.active(NO_CASE)
    assert (await moving.rewrap(BY, NOWHERE, dry_run=True)).data_keys == 0
    provider.newest = 2
    assert (await rewrap(moving)).status is JobStatus.DONE
    (told,) = (await moving.status(BY)).master_keys
    assert [(use.version, use.data_keys) for use in told.versions] == [(2, 1)]
    assert await Keyring(database, [provider]).get(key.id, NO_CASE) == key
    (event,) = await record_of(database, "key.rewrapped")
    assert (event["details"]["version_before"], event["details"]["version_after"]) == (1, 2)


class Killed(BaseException):
    """The process is gone: nothing is cleaned up."""


async def test_what_was_killed_goes_on_where_it_stopped(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = CountingProvider(), LocalKeyProvider.random()
    before = Keyring(database, [old])
    for scope in SCOPES[:5]:
        await before.active(scope)
    moving = keys(database, new, old)
    job = (await moving.rewrap(BY, NOWHERE)).job
    assert job is not None
    old.calls.clear()

    async def dies(key: bytes) -> bytes:
        if old.calls["unwrap"] == 3:
            raise Killed
        return key

    old.answer = dies
    kind = JobKind(REWRAP, moving.handlers.rewrap)
    claimed = await queue.claim(database, kind, "here")
    assert claimed is not None
    with pytest.raises(Killed):
        await moving.handlers.rewrap(claimed)
    assert await uses(moving) == [(new.key_id, 2), (old.key_id, 3)]
    real = clock.now
    monkeypatch.setattr(clock, "now", lambda: real() + 2 * LEASE)  # its lease is over
    old.answer = CountingProvider().answer
    old.calls.clear()
    assert (await run(moving, job)).progress_done == 5
    assert old.calls["unwrap"] == 3
    assert len(await record_of(database, "key.rewrapped")) == 5


async def test_two_runs_at_once_rewrap_each_data_key_once(database: Database) -> None:
    old, new = CountingProvider(), LocalKeyProvider.random()
    before = Keyring(database, [old])
    for scope in SCOPES[:4]:
        await before.active(scope)
    one, other = keys(database, new, old), keys(database, new, old)
    job = (await one.rewrap(BY, NOWHERE)).job
    assert job == (await other.rewrap(BY, NOWHERE)).job
    claimed = await queue.claim(database, JobKind(REWRAP, one.handlers.rewrap), "here")
    assert claimed is not None
    await asyncio.gather(one.handlers.rewrap(claimed), other.handlers.rewrap(claimed))
    assert len(await record_of(database, "key.rewrapped")) == 4
    assert await uses(one) == [(new.key_id, 4), (old.key_id, 0)]


async def test_a_process_with_another_first_master_key_leaves_the_job_to_others(database: Database) -> None:
    old, new = LocalKeyProvider.random(), LocalKeyProvider.random()
    await Keyring(database, [old]).active(NO_CASE)
    moving = keys(database, new, old)
    job = await run(keys(database, old, new), (await moving.rewrap(BY, NOWHERE)).job)
    assert (job.status, job.attempts) == (JobStatus.QUEUED, 1)
    assert await uses(moving) == [(new.key_id, 0), (old.key_id, 1)]


async def test_a_data_key_without_its_master_key_is_left_and_the_others_are_not(database: Database) -> None:
    lost, old, new = (LocalKeyProvider.random() for _ in range(3))
    key = await Keyring(database, [lost]).active(SCOPES[0])
    await Keyring(database, [old]).active(SCOPES[1])
    moving = keys(database, new, old)
    job = await rewrap(moving)
    assert (job.status, job.attempts) == (JobStatus.FAILED, 1)
    assert str(job.last_error).startswith("job_failed: 1 data key(s) left")
    assert await uses(moving) == [(new.key_id, 1), (old.key_id, 0), (lost.key_id, 1)]
    (event,) = await record_of(database, "key.unopened")
    assert (event["subject"], event["details"]["reason"]) == (str(key.id), "not_configured")


async def test_a_provider_that_is_away_has_the_job_come_again(database: Database) -> None:
    old, new = CountingProvider(), LocalKeyProvider.random()
    await Keyring(database, [old]).active(NO_CASE)
    moving = keys(database, new, old)

    async def away(_: bytes) -> bytes:
        raise KeyProviderError(reason="no answer in time", transient=True)

    old.answer = away
    job = await rewrap(moving)
    assert (job.status, job.last_error) == (JobStatus.QUEUED, "key_provider_away: no answer in time")
    assert await record_of(database, "key.unopened") == []


async def test_rewrapping_writes_the_rows_of_data_keys_and_no_others(database: Database) -> None:
    """A file's own rows and its blob stay: only what a data key is wrapped by changes. Amounts: tests/reliability."""
    old, new = LocalKeyProvider.random(), LocalKeyProvider.random()
    before = Keyring(database, [old])
    for scope in SCOPES[:3]:
        await before.active(scope)
    moving = keys(database, new, old)
    job = (await moving.rewrap(BY, NOWHERE)).job
    with written(database) as tables:
        await run(moving, job)
    assert tables.count("data_keys") == 3
    assert set(tables) <= {"data_keys", "audit", "jobs"}


@contextlib.contextmanager
def written(database: Database) -> Any:
    """The tables that are written to while the block lasts, once for each statement."""
    tables: list[str] = []

    def look(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        words = statement.split()
        if words[0] in {"INSERT", "UPDATE", "DELETE"}:
            tables.append(words[1] if words[0] == "UPDATE" else words[2])

    engine = database.engine.sync_engine
    event.listen(engine, "before_cursor_execute", look)
    yield tables
    event.remove(engine, "before_cursor_execute", look)


async def test_every_scope_or_one_gets_a_new_data_key(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    of = keys(database, LocalKeyProvider.random())
    worker, now = Keyring(database, [*of.keyring._providers.values()]), [1_000.0]
    monkeypatch.setattr(keyring_module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    made = [await worker.active(scope) for scope in SCOPES[:3]]
    assert await of.rotate(BY, None, NOWHERE, dry_run=True) == 3
    assert await of.rotate(BY, None, NOWHERE) == 3
    assert await of.rotate(BY, None, NOWHERE) == 0
    now[0] += ROW_SECONDS - 0.01
    assert await worker.active(SCOPES[0]) == made[0]  # another process learns of it
    now[0] += 0.02
    assert (await worker.active(SCOPES[0])).id != made[0].id  # within this time
    assert await worker.get(made[0].id, SCOPES[0]) == made[0]
    details = [event["details"] for event in await record_of(database, "key.rotated")]
    assert details == [{"case_id": None, "data_keys": 3}, {"case_id": None, "data_keys": 0}]


async def test_one_case_gets_a_new_data_key_and_the_others_keep_theirs(database: Database) -> None:
    of, case_id = keys(database, LocalKeyProvider.random()), await add_case(database)
    kept = await of.keyring.active(NO_CASE)
    await of.keyring.active(scope_of(case_id))
    assert await of.rotate(BY, case_id, NOWHERE) == 1
    other = keys(database, *of.keyring._providers.values())
    assert await other.keyring.active(NO_CASE) == kept
    assert await other.rotate(BY, case_id, NOWHERE) == 0
    (first, _) = await record_of(database, "key.rotated")
    assert first["details"] == {"case_id": str(case_id), "data_keys": 1}


async def test_a_case_that_is_not_there_cannot_be_rotated(database: Database) -> None:
    of = keys(database, LocalKeyProvider.random())
    await of.keyring.active(NO_CASE)
    with pytest.raises(NotFound):
        await of.rotate(BY, new_id(), NOWHERE)
    assert await of.rotate(BY, None, NOWHERE, dry_run=True) == 1


async def test_every_data_key_that_does_not_open_is_named(database: Database) -> None:
    lost, there = CountingProvider(), CountingProvider()
    await Keyring(database, [there]).active(SCOPES[0])
    key = await Keyring(database, [lost]).active(SCOPES[1])
    of = keys(database, there)
    job = await run(of, await of.verify(BY, NOWHERE))
    assert (job.status, job.progress_done, job.progress_total) == (JobStatus.FAILED, 2, 2)
    assert job.checkpoint["named"] == [str(key.id)]
    assert str(key.id) in str(job.last_error)
    assert [event["subject"] for event in await record_of(database, "key.unopened")] == [str(key.id)]
    of = keys(database, there, lost)
    there.calls.clear()
    assert (await run(of, await of.verify(BY, NOWHERE))).status is JobStatus.DONE
    assert there.calls["unwrap"] == 1  # it is asked, whatever the cache has


async def test_a_master_key_is_retired_when_nothing_needs_it(database: Database) -> None:
    old, new = LocalKeyProvider.random(), LocalKeyProvider.random()
    await Keyring(database, [old]).active(NO_CASE)
    moving = keys(database, new, old)
    with pytest.raises(KeyNeeded, match=r"wraps 1 data key\(s\), which protect 0 file\(s\), 0 bytes: run"):
        await moving.retire(BY, old.key_id, NOWHERE)
    await rewrap(moving)
    with pytest.raises(KeyNeeded, match="wraps new data keys"):
        await moving.retire(BY, new.key_id, NOWHERE)
    with pytest.raises(NotFound):
        await moving.retire(BY, "unknown", NOWHERE)
    assert await record_of(database, "key.retired") == []
    await moving.retire(BY, old.key_id, NOWHERE)
    assert [event["subject"] for event in await record_of(database, "key.retired")] == [old.key_id]


async def test_a_right_that_was_lost_meanwhile_changes_nothing(database: Database) -> None:
    class Ended:
        async def reauthenticate(self, *_: object) -> Principal:
            raise NotSignedIn

    of = keys(database, LocalKeyProvider.random())
    of.authenticators.add(CredentialKind.SESSION, Ended())  # type: ignore[arg-type]  # only this is asked
    await of.keyring.active(NO_CASE)
    admin = Principal("user:admin", Role.ADMIN, new_id(), new_id())
    for change in (of.rewrap, of.verify, of.reseal, lambda by, origin: of.rotate(by, None, origin)):
        with pytest.raises(NotSignedIn):
            await change(admin, NOWHERE)
    assert await of.rotate(BY, None, NOWHERE, dry_run=True) == 1
    analyst = replace(admin, role=Role.ANALYST)
    for change in (of.rewrap, of.verify, of.reseal, lambda by, origin: of.rotate(by, None, origin)):
        with pytest.raises(Forbidden):
            await change(analyst, NOWHERE)
    with pytest.raises(Forbidden):
        await of.retire(analyst, "any", NOWHERE)


async def enrolled(database: Database, sealed_with: Secret) -> tuple[User, str]:
    user = User(new_id(), name := new_id().hex, name, "no password", Role.ANALYST, 1, clock.now())
    async with database.write() as connection:
        await repository.add_user(connection, user)
        await factor_rows.put(connection, user.id, TotpSecrets([sealed_with]).seal(user.id, "JBSWY3DPEHPK3PXP"))
    return user, "JBSWY3DPEHPK3PXP"


async def test_authenticators_are_brought_under_the_newest_secret_key(database: Database) -> None:
    users = [await enrolled(database, OLD) for _ in range(103)] + [await enrolled(database, NEW)]
    moving = keys(database, LocalKeyProvider.random())
    assert await outdated(moving) == 103
    assert (await moving.reseal(BY, NOWHERE, dry_run=True)).outdated.authenticators == await outdated(moving)
    job = await reseal(moving)
    assert (job.status, job.progress_done, job.progress_total) == (JobStatus.DONE, 103, 103)
    assert (await outdated(moving), (await reseal(moving)).progress_done) == (0, 0)
    details = [event["details"] for event in await record_of(database, "secrets.resealed")]
    assert details == [{"resealed": 103, "left": 0}, {"resealed": 0, "left": 0}]
    for user, secret in users:
        async with database.read() as connection:
            sealed = await factor_rows.sealed_of(connection, user.id)
        assert TotpSecrets([NEW]).open(user.id, sealed or b"") == secret


async def test_an_authenticator_that_no_key_opens_stays_as_it_is(database: Database) -> None:
    user, _ = await enrolled(database, Secret(b"x" * 32))
    moving = keys(database, LocalKeyProvider.random())
    job = await reseal(moving)
    assert (job.status, job.progress_done, await outdated(moving)) == (JobStatus.FAILED, 0, 1)
    assert job.last_error is not None
    assert job.last_error.endswith("1 secret(s) left: no PORTAL_SECRET_KEY opens them")
    async with database.read() as connection:
        assert await factor_rows.sealed_of(connection, user.id) is not None


async def test_a_process_with_another_newest_secret_key_leaves_the_job_to_others(database: Database) -> None:
    await enrolled(database, OLD)
    moving, stale = (keys(database, LocalKeyProvider.random(), secret_keys=given) for given in ((NEW, OLD), (OLD, NEW)))
    asked = (await moving.reseal(BY, NOWHERE)).job
    job = await run(stale, asked)
    assert job.status is JobStatus.QUEUED
    assert job.last_error is not None
    assert "another newest PORTAL_SECRET_KEY" in job.last_error
    assert await outdated(moving) == 1
