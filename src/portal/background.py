"""Background work of a process: jobs, and the upkeep of events that only this process or this machine holds.

Comes in: an open portal. Leaves: nothing; when the block ends, jobs have ended or are released, and events that were
held in memory are written. Next: `app` serves inside it, `portal worker` only waits.
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
    """As long as the block lasts. Without `jobs_at_once` no job runs here."""
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
            await portal.audit.recorder.replay()  # events that are still held would be lost now


async def _upkeep_forever(portal: Portal) -> None:
    """Write the events that this process or this machine holds; after a failure the next round tries again."""
    while True:
        for work in (portal.audit.recorder.replay, portal.audit.refusals.close_round):
            try:
                await work()
            except PortalError as error:
                _log.warning("upkeep_failed", work=work.__name__, code=error.code, reason=reason(error))
            except Exception:  # noqa: BLE001  # whatever it is, the next round must come
                _log.exception("upkeep_failed", work=work.__name__)
        await asyncio.to_thread(memory.release_free_memory)
        await asyncio.sleep(UPKEEP_SECONDS)
