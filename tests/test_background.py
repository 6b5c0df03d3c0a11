"""What runs beside a door: a portal that serves does its periodic work, and writes what it holds when it ends."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from portal import background as beside
from portal import config
from portal.background import background
from portal.bootstrap import Portal, open_portal, open_resources
from portal.core.errors import Unavailable
from portal.core.ids import new_id
from portal.core.principal import NOWHERE
from portal.features.audit.events import Event, EventKind
from portal.features.audit.refusals import Refusal
from portal.features.jobs import wakeup
from portal.features.jobs.views import Job, JobFilters, JobStatus

KEYS = {f"PORTAL_{name}": sha256(name.encode()).hexdigest() for name in ("MASTER_KEY", "SECRET_KEY")}


@pytest.fixture
def folder(tmp_path: Path, sqlite_template: Path) -> Path:
    (tmp_path / "portal.db").write_bytes(sqlite_template.read_bytes())
    return tmp_path


@pytest.fixture
async def portal(folder: Path) -> AsyncIterator[Portal]:
    settings, variables = config.load(KEYS | {"PORTAL_DATA_DIR": str(folder)}, folder / ".env")
    resources = open_resources(settings, variables)
    await resources.stores.establish(resources.database)
    await resources.aclose()
    async with open_portal(settings, variables) as portal:
        yield portal


async def jobs_of(portal: Portal) -> list[Job]:
    return (await portal.jobs.page(JobFilters(), None, 100)).items


async def test_each_periodic_kind_runs_once_and_waits(portal: Portal) -> None:
    names = {kind.name for kind in portal.jobs.kinds if kind.every is not None}
    assert {
        "files.sweep",
        "files.index_names",
        "links.sweep",
        "accounts.sweep",
        "sessions.sweep",
        "tokens.sweep",
        "jobs.sweep",
    } <= names
    with wakeup.listening() as ended:
        async with background(portal, jobs_at_once=2):
            while {job.kind for job in await jobs_of(portal) if job.finished_at is not None} < names:
                await ended.wait()
                ended.clear()
    jobs = await jobs_of(portal)
    assert {job.kind for job in jobs} == names
    assert {(job.status, job.last_error, job.worker) for job in jobs} == {(JobStatus.QUEUED, None, None)}
    assert min(job.run_after - job.finished_at for job in jobs if job.finished_at) >= timedelta(minutes=1)


async def test_a_process_that_runs_no_jobs_makes_none(portal: Portal) -> None:
    async with background(portal, jobs_at_once=0):
        await asyncio.sleep(0)
    assert await jobs_of(portal) == []


async def test_what_the_process_holds_is_written_when_it_ends(portal: Portal) -> None:
    waiting = Event(EventKind.FILE_DOWNLOAD_ENDED, "user:x", str(new_id()), details={"outcome": "finished"})
    async with background(portal, jobs_at_once=0):
        for _ in range(3):
            portal.audit.refusals.note(Refusal("user:x", "files.read", "forbidden"), NOWHERE)
        portal.resources.journal.write_text(waiting.canonical() + "\n")
    assert not portal.resources.journal.exists()


async def test_upkeep_goes_on_after_a_failure(portal: Portal, monkeypatch: pytest.MonkeyPatch) -> None:
    rounds, again = 0, asyncio.Event()

    async def replay(_: object) -> int:
        nonlocal rounds
        rounds += 1
        if rounds == 2:
            again.set()
        raise ZeroDivisionError if rounds == 1 else Unavailable

    monkeypatch.setattr(beside, "UPKEEP_SECONDS", 0)
    monkeypatch.setattr(type(portal.audit.recorder), "replay", replay)
    async with background(portal, jobs_at_once=0):
        await again.wait()
