"""The process that forks portals: a program, started by `prepared.py`.

Comes in: requests on a socket, each with four descriptors. Leaves: a child for each, which becomes the portal. Its
process id and, after its end, its exit code go to the first of these descriptors; the others are its streams.

A child differs from `python -m portal` in one thing that a test could see: passwords cost little. `portal.__main__` is
its main module, and it ends as an interpreter ends. So nothing here starts a thread or handles a signal, and no frame
of `Forks` is left in it.
"""

import contextlib
import functools
import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import sys
from dataclasses import dataclass
from typing import NoReturn

from tests.prepared import NUMBER

_MOST_BYTES = 1 << 20
_IMPORTED_LATE = (  # when they are first used
    "alembic.command",
    "alembic.config",
    "asyncpg",
    "passlib.handlers.argon2",
    "sqlalchemy.dialects.postgresql.asyncpg",
    "uvicorn.lifespan.on",
    "uvicorn.loops.uvloop",
)


@dataclass(frozen=True, slots=True)
class Request:
    """What one portal is told. `streams` are descriptors: standard input, output and error.

    `program` is the path of what is to run in its place, if anything.
    """

    arguments: list[str]
    cwd: str
    env: dict[str, str]
    program: str | None
    streams: list[int]


@dataclass(frozen=True, slots=True)
class _Child:
    pid: int
    status: int


class Forks:
    """The loop of the prepared process. It knows its children by their descriptors (pidfd_open(2))."""

    def __init__(self, requests: socket.socket) -> None:
        self._requests = requests
        self._children: dict[int, _Child] = {}
        self._waiting = select.poll()
        self._waiting.register(requests, select.POLLIN)

    def next_child(self) -> Request:
        """Fork a child for each request, and report the end of each. Returns in the children alone."""
        while True:
            for descriptor, _ in self._waiting.poll():
                if descriptor in self._children:
                    self._report(descriptor)
                elif (request := self._fork()) is not None:
                    return request

    def _fork(self) -> Request | None:
        told, descriptors, _, _ = socket.recv_fds(self._requests, _MOST_BYTES, 4)
        if not told:
            self._end()
        status, *streams = descriptors
        pid = os.fork()
        if pid == 0:
            self._close(status)
            return Request(**json.loads(told), streams=streams)
        for stream in streams:
            os.close(stream)
        self._know(_Child(pid, status))
        return None

    def _know(self, child: _Child) -> None:
        os.write(child.status, NUMBER.pack(child.pid))
        descriptor = os.pidfd_open(child.pid)
        self._children[descriptor] = child
        self._waiting.register(descriptor, select.POLLIN)

    def _report(self, descriptor: int) -> None:
        child = self._children.pop(descriptor)
        self._waiting.unregister(descriptor)
        os.close(descriptor)
        _, status = os.waitpid(child.pid, 0)
        with contextlib.suppress(BrokenPipeError):  # nobody asks any more
            os.write(child.status, NUMBER.pack(os.waitstatus_to_exitcode(status)))
        os.close(child.status)

    def _close(self, status: int) -> None:
        """Close in a child what is of no use to it."""
        self._requests.close()
        os.close(status)
        for descriptor, child in self._children.items():
            os.close(descriptor)
            os.close(child.status)

    def _end(self) -> NoReturn:
        for child in self._children.values():
            os.kill(child.pid, signal.SIGKILL)
            os.waitpid(child.pid, 0)
        sys.exit()


def import_portal() -> dict[str, str]:
    """Import all of it. Leaves the variables that libraries set meanwhile."""
    before = dict(os.environ)
    package = importlib.import_module("portal")
    modules = [module.name for module in pkgutil.walk_packages(package.__path__, "portal.")]
    for name in (*modules, *_IMPORTED_LATE):
        if not name.endswith("__main__"):
            importlib.import_module(name)
    return dict(os.environ.items() - before.items())


def make_passwords_cheap() -> None:
    """A hash as the portal makes them costs as much as fifty requests, and every first sign-in makes one."""
    service = importlib.import_module("portal.features.identity.service")
    service.__dict__["PasswordHasher"] = functools.partial(service.PasswordHasher, memory_kib=8, passes=1, lanes=1)


def become_portal(request: Request, variables: dict[str, str]) -> None:
    """Go on as `python -m portal`, or as the program that has its place, in the request's folder."""
    for number, descriptor in enumerate(request.streams):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(request.cwd)
    os.environ.clear()
    os.environ.update(request.env | variables)
    sys.path[0] = request.cwd
    sys.argv[1:] = request.arguments
    if request.program is None:
        runpy.run_module("portal", run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(request.program, run_name="__main__")


if __name__ == "__main__":
    set_by_imports = import_portal()
    make_passwords_cheap()
    gc.collect()
    gc.freeze()  # a child shares what it does not change
    become_portal(Forks(socket.socket(fileno=int(sys.argv[1]))).next_child(), set_by_imports)
