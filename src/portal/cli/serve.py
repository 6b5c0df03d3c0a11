"""`portal serve`: the HTTP server, started only after all parts of the portal were checked.

Comes in: settings. Leaves: uvicorn, which runs until a signal.
"""

import errno
import resource
import signal
import socket
import sys
from contextlib import aclosing
from functools import partial
from importlib.metadata import version
from typing import Annotated, Any

import typer
import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from portal import config
from portal.bootstrap import open_counters, open_portal
from portal.cli.console import run_async
from portal.cli.program import Exit
from portal.core import log
from portal.core.errors import ConfigError, Unavailable
from portal.settings import Settings
from portal.web.connection import HttpConnection
from portal.web.middleware import security_headers

_KEEP_ALIVE_SECONDS = 75
_WORKER_SECONDS = 120  # a new worker answers no health check while it imports: on a busy machine for more than 5 s


def serve(
    *,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=0, max=65535)] = 8000,
    workers: Annotated[int, typer.Option(help="Processes that serve.", min=1)] = 1,
) -> None:
    """Serve the API until told to stop."""
    settings, variables = config.load()
    log.configure(settings.log_level, settings.log_file)
    if workers > 1 and settings.log_file is not None:
        raise ConfigError("PORTAL_LOG_FILE is for one worker: several would rotate it away from each other")
    run_async(_preflight(settings, variables))
    _require_port(host, port)
    if _is_terminal():
        sys.stderr.write(_banner(settings, host, port))
    _take_all_descriptors()
    # uvicorn raises the signal that stopped it again at its end: that is a success.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(Exit.OK))
    connection = partial(
        HttpConnection,
        client_timeouts=settings.client_timeouts,
        headers=tuple(security_headers(hsts=settings.hsts).items()),
        grace_seconds=settings.grace_seconds,
    )
    run = uvicorn.run if workers == 1 else _supervise
    run(
        "portal.app:serve_app",
        factory=True,
        host=host,
        port=port,
        workers=workers,
        loop="uvloop",
        http=connection,  # type: ignore[arg-type]  # uvicorn only calls it
        ws="none",
        proxy_headers=False,  # portal.web.middleware reads them, and trusts only configured addresses
        server_header=False,
        access_log=False,
        log_config=None,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=settings.grace_seconds,
        timeout_worker_healthcheck=_WORKER_SECONDS,
    )


class Supervisor(Multiprocess):
    """uvicorn's parent of several workers, which notices at once that a worker ended before it answered.

    uvicorn asks each worker whether it lives, and waits for `_WORKER_SECONDS`. It keeps the worker's end of that pipe
    open itself, and so would wait as long for one that was killed: nothing is replaced meanwhile, and no SIGTERM heard.
    """

    def init_processes(self) -> None:
        super().init_processes()
        self._close_workers_ends()

    def keep_subprocess_alive(self) -> None:
        super().keep_subprocess_alive()
        self._close_workers_ends()

    def _close_workers_ends(self) -> None:
        for process in self.processes:
            process.child_conn.close()


def _supervise(app: str, **options: Any) -> None:
    """Run the workers. Raises Unavailable where one could not start: uvicorn ends all, and calls that a success."""
    config = uvicorn.Config(app, **options)
    with config.bind_socket() as listening:
        supervisor = Supervisor(config, sockets=[listening])
        supervisor.run()
    if any(process.exitcode == STARTUP_FAILURE for process in supervisor.processes):
        raise Unavailable("a worker could not start; its reason is in the log")


def _require_port(host: str, port: int) -> None:
    """Check that the port is free: one line instead of a worker's traceback. Raises Unavailable, ConfigError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        where = f"{f'[{host}]' if ':' in host else host}:{port}"
        if error.errno == errno.EADDRINUSE:
            raise Unavailable(f"{where} is in use: is a portal running already? --port takes another") from None
        raise ConfigError(f"{where} cannot be listened on ({error.strerror or error})") from None


def _is_terminal() -> bool:
    return sys.stderr.isatty()


def _banner(settings: Settings, host: str, port: int) -> str:
    """The text that a terminal shows at the start."""
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    docs = f"\n  documents  {url}/docs" if settings.serves_docs else ""
    return (
        f"portal {version('portal')}\n  address    {url}{docs}\n"
        f"  data       {settings.data_dir.absolute()}\n  Ctrl-C stops it\n"
    )


def _take_all_descriptors() -> None:
    """Raise the soft limit of descriptors to the hard one. A transfer uses two, a socket and a file: the usual soft
    limit of 1,024 would allow only five hundred transfers.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _preflight(settings: Settings, variables: dict[str, str]) -> None:
    """Open and check the portal once: every problem is one line here, instead of a traceback in a worker."""
    async with open_portal(settings, variables):
        counters = open_counters(settings)
        if counters is not None:
            async with aclosing(counters):
                await counters.check()
