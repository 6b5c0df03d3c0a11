"""The runner of one process: it looks for due jobs, claims as many as it may run at once, and runs them.

Comes in: the kinds that this release knows. Leaves: rows of jobs that ran. A job of an unknown kind belongs to another
release, and stays as it is. Polling is a read every POLL_SECONDS; only a claim writes.
"""

import asyncio
import os
import socket
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Final

from portal.core import clock, log
from portal.core.errors import PortalError
from portal.db.reasons import reason
from portal.db.unit_of_work import Database
from portal.features.jobs import queue, wakeup
from portal.features.jobs.execution import execute
from portal.features.jobs.kinds import JobKind, by_name
from portal.features.jobs.running import RunningJob

POLL_SECONDS: Final = 5.0
PERIODIC_KEPT: Final = timedelta(minutes=1)
"""The time between two looks for periodic kinds that have lost their job."""

_log = log.get(__name__)


class JobRunner:
    """A runner of jobs. `run` may be called once; `stop` ends it."""

    def __init__(self, database: Database, kinds: Sequence[JobKind], *, at_once: int) -> None:
        self._database = database
        self._kinds = by_name(kinds)
        self._at_once = at_once
        self._worker = f"{socket.gethostname()}/{os.getpid()}"
        self._running: dict[asyncio.Task[None], str] = {}
        self._stopping = asyncio.Event()
        self._periodic = {kind.name for kind in kinds if kind.every is not None}
        self._keep_again = clock.now()

    async def run(self) -> None:
        """Run jobs until `stop`. Running jobs then have FINISH_SECONDS to end, or are released for other processes."""
        with wakeup.listening() as woken:
            while not self._stopping.is_set():
                woken.clear()
                await self._look()
                await self._wait(woken)
        while self._running:
            await asyncio.wait(self._running)

    def stop(self) -> None:
        self._stopping.set()
        wakeup.ring()

    async def _wait(self, woken: asyncio.Event) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(POLL_SECONDS):
                await woken.wait()

    async def _look(self) -> None:
        """Start the due jobs. Never raises: errors are logged, and the next look may succeed."""
        try:
            await self._keep_periodic()
            await self._start_due()
        except Exception as error:  # noqa: BLE001  # whatever the error, the loop must go on
            _tell(error)

    async def _keep_periodic(self) -> None:
        """Enqueue one job of each periodic kind, unless it exists already: at the start, then every PERIODIC_KEPT.

        Another release, which does not know a kind, may have cancelled its job.
        """
        if clock.now() < self._keep_again:
            return
        for name in await queue.without_periodic(self._database, self._periodic):
            async with self._database.write() as connection:
                await queue.enqueue(connection, name, {}, unique_key=queue.PERIODIC)
        self._keep_again = clock.now() + PERIODIC_KEPT

    async def _start_due(self) -> None:
        nothing_to_have: set[str] = set()  # kinds of which other processes run all that may run, or that raise
        while len(self._running) < self._at_once and not self._stopping.is_set():
            kind = await queue.earliest_due(self._database, self._with_room() - nothing_to_have)
            if kind is None:
                return
            claimed = await self._claim(self._kinds[kind])
            if claimed is None:
                nothing_to_have.add(kind)
            else:
                self._start(self._kinds[kind], claimed)

    async def _claim(self, kind: JobKind) -> RunningJob | None:
        """Claim a job of the kind. An error is logged, so that it stops no other kind."""
        try:
            return await queue.claim(self._database, kind, self._worker)
        except Exception as error:  # noqa: BLE001  # a lasting one is found at each look
            _tell(error, kind=kind.name)
            return None

    def _with_room(self) -> set[str]:
        """The kinds of which this process may start another job: it runs fewer than `at_once` of them."""
        here = Counter(self._running.values())
        return {name for name, kind in self._kinds.items() if kind.at_once is None or here[name] < kind.at_once}

    def _start(self, kind: JobKind, claimed: RunningJob) -> None:
        task = asyncio.create_task(execute(self._database, kind, claimed, self._stopping))
        self._running[task] = kind.name
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.pop(task)
        wakeup.ring()  # another job can start
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("job_not_run", exc_info=error)


def _tell(error: Exception, **more: str) -> None:
    if isinstance(error, PortalError):
        _log.warning("jobs_not_looked_for", code=error.code, reason=reason(error), **more)
    else:
        _log.error("jobs_not_looked_for", exc_info=error, **more)
