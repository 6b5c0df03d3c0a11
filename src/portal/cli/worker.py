"""`portal worker`: run jobs, and serve nothing.

Comes in: settings. Leaves: rows of jobs that ran, until a signal. The log goes to standard error and ignores
PORTAL_LOG_FILE: that file belongs to the serving process.
"""

import asyncio
import signal
from typing import Annotated

import typer

from portal import config
from portal.background import background
from portal.bootstrap import open_portal
from portal.cli.console import run_async
from portal.core import log
from portal.settings import Settings

_log = log.get(__name__)


def worker(
    *,
    at_once: Annotated[int, typer.Option("--at-once", help="Jobs that run at once.", min=1, max=64)] = 4,
) -> None:
    """Run jobs until told to stop, and serve nothing. Any number may run, on any machine.

    At a stop (SIGTERM) running jobs have a moment to end; then other processes go on with them.
    """
    settings, variables = config.load()
    log.configure(settings.log_level)
    run_async(_work(settings, variables, at_once))


async def _work(settings: Settings, variables: dict[str, str], at_once: int) -> None:
    stopped, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    async with open_portal(settings, variables) as portal, background(portal, jobs_at_once=at_once):
        _log.info("worker_started", at_once=at_once)
        await stopped.wait()
    _log.info("worker_stopped")
