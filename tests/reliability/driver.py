"""A portal without its web, for faults in its system calls: a program, run by `driven.py`.

Comes in: one command a line, on the socket that is its standard input. Leaves: one JSON answer each: what was done, the
code of the PortalError, or what nobody foresaw.

So that the k-th call of a kind is the same call each time, the loop is plain asyncio and one thread does all the work
on files; what is told goes through the socket, for which there are calls of its own.
"""

import asyncio
import hashlib
import json
import logging
import os
import random
import resource
import socket
import traceback
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, aclosing
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text

from portal import config
from portal.bootstrap import Portal, open_portal
from portal.core import clock, log, tasks
from portal.core.errors import PortalError
from portal.core.ids import new_id
from portal.core.principal import NOWHERE, Principal
from portal.core.ranges import WHOLE_FILE, RangeRequest
from portal.crypto.format import BlobContext
from portal.features.files import blob_rows, repository
from portal.features.files.blob_rows import AT_ONCE
from portal.features.files.uploads.attempt import UploadAttempt
from portal.features.files.views import Details

CHUNK = 100_000
Answer = dict[str, Any]


class Arriving:
    """As many bytes of noise as are wanted, the same ones for the same size.

    With a `limit` no file may grow beyond it from the moment on when the bytes are asked for.
    """

    name, declared_type, case_id = "noise.bin", None, None

    def __init__(self, size: int, limit: int | None = None, *, content_length: bool = False) -> None:
        self.content_length = size if content_length else None
        self._content = random.Random(size).randbytes(size)  # noqa: S311  # noise, no secret
        self._limit = limit

    async def chunks(self) -> AsyncIterator[bytes]:
        if self._limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (self._limit, resource.RLIM_INFINITY))
        for at in range(0, len(self._content), CHUNK):
            yield self._content[at : at + CHUNK]

    async def details(self) -> Details:
        return Details()


class Driver:
    """One verb for each command."""

    def __init__(self) -> None:
        self._open = AsyncExitStack()
        self._settings, self._variables = config.load()

    async def open(self) -> Answer:
        """Everything anew, as at a start."""
        await self._open.aclose()
        self._portal: Portal = await self._open.enter_async_context(open_portal(self._settings, self._variables))
        self._files, self._database = self._portal.files, self._portal.resources.database
        return {}

    async def close(self) -> Answer:
        await self._open.aclose()
        return {}

    async def reconnect(self) -> Answer:
        """Leave the database and come back: the last connection that leaves empties the write-ahead log."""
        await self._database.aclose()
        await self._database.check()
        return {}

    async def sign_in(self, name: str, *password: str) -> Answer:
        sessions = self._portal.identity.sessions
        pair = await sessions.sign_in(name, " ".join(password), NOWHERE)
        self._principal: Principal = await sessions.resolve(pair.access_token)
        return {}

    async def upload(self, size: str, limit: str = "") -> Answer:
        arrival = Arriving(int(size), int(limit) if limit else None)
        file = await self._files.intake.receive(self._principal, arrival, NOWHERE)
        return {"id": str(file.id), "sha256": file.sha256}

    async def upload_small(self, size: str) -> Answer:
        """The same, announced: it is taken in at once."""
        file = await self._files.intake.receive(self._principal, Arriving(int(size), content_length=True), NOWHERE)
        return {"id": str(file.id), "sha256": file.sha256}

    async def download(self, file_id: str, start: str = "0", length: str = "") -> Answer:
        asked = RangeRequest(first=int(start), last=int(start) + int(length) - 1) if length else WHOLE_FILE
        delivery = await self._files.deliveries.start(self._principal, UUID(file_id), NOWHERE, asked)
        digest = hashlib.sha256()
        async with aclosing(delivery.chunks) as chunks:
            async for chunk in chunks:
                digest.update(chunk)
        return {"sha256": digest.hexdigest()}

    async def delete(self, file_id: str) -> Answer:
        await self._files.catalog.delete(self._principal, UUID(file_id), None, NOWHERE)
        return {}

    async def strand(self, size: str) -> Answer:
        """Leave an upload as a crash between its blob and its last transaction does."""
        context, arrival, intake = (
            BlobContext(file_id=new_id(), blob_id=new_id()),
            Arriving(int(size)),
            self._files.intake,
        )
        upload = UploadAttempt(self._principal, arrival, NOWHERE, context, clock.now())
        await intake._begin(upload)
        await intake._seal(upload, arrival.chunks())
        return {}

    async def strand_delete(self, file_id: str) -> Answer:
        """Leave a delete as a crash right after its first transaction does."""
        async with self._database.write() as connection:
            await repository.delete(connection, UUID(file_id), 1, AT_ONCE)
        return {}

    async def sweep(self) -> Answer:
        await self._portal.audit.recorder.replay()
        return {"settled": await self._files.maintenance.sweep(timedelta(0))}

    async def held(self) -> Answer:
        """What rows and store hold, unchanged."""
        async with self._database.read() as connection:
            files = [(str(UUID(i)), *rest) for i, *rest in await connection.execute(_FILES)]
            named = [key for (key,) in await connection.execute(text("SELECT id FROM blobs WHERE store <> 'row'"))]
            damaged = (await connection.execute(_DAMAGED)).scalar_one()
            overdue = [blob.id.hex for blob in await blob_rows.due(connection, clock.now(), 1000)]
        store = self._settings.data_dir / "store"
        return {
            "listed": {file: digest for file, status, digest in files if status in {"ready", "quarantined"}},
            "stuck": [file for file, status, _ in files if status == "pending"] + overdue,
            "named": sorted(f"blobs/{key[-2:]}/{key}" for key in named),
            "stored": sorted(path.relative_to(store).as_posix() for path in store.glob("*/**/*") if path.is_file()),
            "damaged": damaged,
        }

    async def fsck(self) -> Answer:
        return {"problems": [item.problem async for item in self._files.maintenance.fsck(full=True) if item.problem]}

    async def let_go(self, *descriptors: str) -> Answer:
        """Close what stayed open because strace kept the call from the kernel.

        Closing any descriptor of a file ends all its locks, so no connection of ours may be open meanwhile.
        """
        await self._database.aclose()
        for descriptor in descriptors:
            os.close(int(descriptor))
        await self._database.check()
        return {}


_FILES = text("SELECT id, status, sha256 FROM files")
_DAMAGED = text("SELECT count(*) FROM audit WHERE event = 'file.damaged' OR body LIKE '%\"outcome\":\"damaged\"%'")


class _Told(logging.Handler):
    """What the log says at the level of an error: of a task that nobody waited for, of damage."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


async def _answered(verb: Callable[..., Awaitable[Answer]], arguments: list[str]) -> Answer:
    try:
        return {"ok": True, **await verb(*arguments)}
    except PortalError as error:
        return {"ok": False, "code": error.code}
    except Exception:  # noqa: BLE001  # this is what the suite looks for
        return {"ok": False, "unforeseen": traceback.format_exc()}
    finally:
        await tasks.drain()


async def _serve() -> None:
    log.configure(logging.ERROR)
    logging.root.handlers = [told := _Told()]
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    reader, writer = await asyncio.open_connection(sock=socket.socket(fileno=0))
    driver = Driver()
    while line := (await reader.readline()).split():
        verb, *arguments = (word.decode() for word in line)
        answer = await _answered(getattr(driver, verb), arguments)
        told.lines, answer["told"] = [], told.lines
        writer.write(json.dumps(answer).encode() + b"\n")
        await writer.drain()
    await driver.close()
    writer.close()
    await writer.wait_closed()


if __name__ == "__main__":
    warnings.simplefilter("always")  # what stays open is said at the end
    asyncio.run(_serve())
