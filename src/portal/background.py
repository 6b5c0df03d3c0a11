"""Background work of a process: jobs, and the upkeep of audit events that only this process or this machine has.

Comes in: an open portal. Leaves: nothing. When the block ends, jobs have ended or are released for other processes, and
events in memory are written. Next: `app` serves inside the block, `portal worker` only waits in it.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from portal.bootstrap import Portal
from portal.core import log, memory, tasks
from portal.core.errors import PortalError
from portal.db.reasons import reason

UPKEEP_SECONDS: Final = 60

_log = log.get(__name__)


@asynccontextmanager
async def background(portal: Portal, *, jobs_at_once: int) -> AsyncIterator[None]:
    """Do background work while the block lasts. If `jobs_at_once` is 0, this process runs no jobs."""
    runner = portal.jobs.runner(jobs_at_once)
    jobs = asyncio.create_task(runner.run()) if jobs_at_once else None
    upkeep = asyncio.create_task(_upkeep_forever(portal))
    try:
        yield
    finally:
        runner.stop()
        upkeep.cancel()
        await asyncio.wait([upkeep, *([jobs] if jobs else [])])
        await tasks.drain()
        with contextlib.suppress(PortalError):
            await portal.audit.refusals.close_round()
            await portal.audit.recorder.replay()  # events still in memory would be lost now


async def _upkeep_forever(portal: Portal) -> None:
    """Write held and journalled audit events, every UPKEEP_SECONDS. After a failure the next round tries again."""
    while True:
        for work in (portal.audit.recorder.replay, portal.audit.refusals.close_round):
            try:
                await work()
            except PortalError as error:
                _log.warning("upkeep_failed", work=work.__name__, code=error.code, reason=reason(error))
            except Exception:  # noqa: BLE001  # whatever the error, the loop must go on
                _log.exception("upkeep_failed", work=work.__name__)
        await asyncio.to_thread(memory.release_free_memory)
        await asyncio.sleep(UPKEEP_SECONDS)
