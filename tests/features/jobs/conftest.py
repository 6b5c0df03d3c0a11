"""Jobs over a migrated database of either kind, a clock that tests move, a runner that does not wait."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from portal.core import clock
from portal.db.unit_of_work import Database
from portal.features.jobs import execution, queue, repository, runner
from portal.features.jobs.kinds import JobKind, RetryDelay
from portal.features.jobs.running import RunningJob
from portal.features.jobs.service import Jobs
from portal.features.jobs.views import Job, JobFilters

Later = Callable[[timedelta], None]
LONG = timedelta(hours=3)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Later:
    """Move the one clock ahead, by so much more each time."""
    real, moved = clock.now, [timedelta(0)]

    def move(by: timedelta) -> None:
        moved[0] += by
        monkeypatch.setattr(clock, "now", lambda: real() + moved[0])

    return move


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing waits for long: a process that stops or cancels does so at once."""
    monkeypatch.setattr(execution, "FINISH_SECONDS", 0.05)
    monkeypatch.setattr(execution, "CANCEL_SECONDS", 0.05)
    monkeypatch.setattr(execution, "_SETTLE_SECONDS", 0.01)
    monkeypatch.setattr(runner, "POLL_SECONDS", 0.05)


@dataclass
class Worked:
    """Handlers that note what they were given."""

    seen: list[Mapping[str, Any]] = field(default_factory=list)
    fails: list[BaseException] = field(default_factory=list)

    async def __call__(self, job: RunningJob) -> None:
        self.seen.append(job.payload)
        if self.fails:
            raise self.fails.pop(0)


@dataclass
class Plant:
    """The jobs of one portal."""

    database: Database

    async def add(self, kind: str = "work", payload: Mapping[str, Any] | None = None, **more: Any) -> UUID:
        async with self.database.write() as connection:
            job_id = await queue.enqueue(connection, kind, payload or {}, **more)
        assert job_id is not None
        return job_id

    async def get(self, job_id: UUID) -> Job:
        return await Jobs(self.database, ()).get(job_id)

    async def all(self, **filters: Any) -> list[Job]:
        return (await Jobs(self.database, ()).page(JobFilters(**filters), None, 500)).items

    async def set(self, job_id: UUID, **values: Any) -> None:
        async with self.database.write() as connection:
            await repository.change(connection, job_id, values)

    @asynccontextmanager
    async def running(
        self, *kinds: JobKind, at_once: int = 4, database: Database | None = None
    ) -> AsyncIterator[runner.JobRunner]:
        made = Jobs(database or self.database, kinds).runner(at_once)
        task = asyncio.create_task(made.run())
        try:
            yield made
        finally:
            made.stop()
            await task

    async def work_off(self, *kinds: JobKind) -> None:
        """Run what is due, and nothing else, to its end."""
        for kind in kinds:
            while (claimed := await queue.claim(self.database, kind, "here")) is not None:
                await execution.execute(self.database, kind, claimed, asyncio.Event())


@pytest.fixture
async def plant(database: Database) -> Plant:
    return Plant(database)


def kind_of(handler: Callable[[RunningJob], Awaitable[object]], **more: Any) -> JobKind:
    plain = JobKind("work", handler, retry_delay=RetryDelay(timedelta(seconds=10), timedelta(minutes=1)))
    return replace(plain, **more)


async def nothing(_: RunningJob) -> None:
    """Done at once."""


async def hangs(_: RunningJob) -> None:
    await asyncio.Event().wait()
