"""The portal in this process, asked without a socket: `python -m bench.in_process FOLDER`.

Comes in: the folder of a portal; on standard input, as JSON, a token and what to ask. Leaves: on standard output the
processor time of one request of each kind, what it does in numbers, and what was uploaded. Next: `rows/requests` makes
figures of the first, and a test holds the second.
"""

import asyncio
import base64
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import uvloop
from fastapi import FastAPI

from bench.counts import counted
from bench.request import Request
from portal import config
from portal.app import create_app
from portal.core import log


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class InProcess:
    """An app whose lifespan has begun, and the token of who asks it."""

    app: FastAPI
    token: str

    async def ask(self, request: Request) -> Answer:
        """Asks as a server would: the body in one piece, and silence behind it."""
        body, status, sent = [request.body], 0, bytearray()

        async def receive() -> dict[str, Any]:
            if not body:
                await asyncio.Event().wait()
            return {"type": "http.request", "body": body.pop(), "more_body": False}

        async def send(message: Any) -> None:
            nonlocal status
            status = message.get("status", status)
            sent.extend(message.get("body", b""))

        await self.app(self._scope(request), receive, send)
        return Answer(status, bytes(sent))

    def _scope(self, request: Request) -> dict[str, Any]:
        path, _, query = request.target.partition("?")
        headers = {"host": "127.0.0.1", "authorization": f"Bearer {self.token}", **request.headers}
        if request.body:
            headers["content-length"] = str(len(request.body))
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": request.method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
            "state": {},
        }


@asynccontextmanager
async def opened(folder: Path, token: str) -> AsyncIterator[InProcess]:
    """The portal whose settings are in the folder, open. It becomes the folder we work in."""
    os.chdir(folder)
    settings, variables = config.load()
    log.configure(settings.log_level, folder / "in-process.log")
    app = create_app(settings, variables)
    async with app.router.lifespan_context(app):
        yield InProcess(app, token)


async def ask_all(portal: InProcess, requests: Sequence[Request], at_once: int) -> list[Answer]:
    turns = iter(requests)

    async def take_turns() -> list[Answer]:
        return [await portal.ask(request) for request in turns]

    found = await asyncio.gather(*(take_turns() for _ in range(at_once)))
    return [answer for answers in found for answer in answers]


async def measured(portal: InProcess, requests: Sequence[Request], at_once: int) -> dict[str, Any]:
    """Of one of these: milliseconds of the processor, in all threads of this process, and what it does.

    The first is neither timed nor counted; the second is counted. Raises RuntimeError where one is refused.
    """
    answers = [await portal.ask(requests[0])]
    with counted() as counts:
        answers.append(await portal.ask(requests[1]))
    started = time.process_time()
    answers += await ask_all(portal, requests[2:], at_once)
    taken = 1000 * (time.process_time() - started) / len(requests[2:])
    for answer in answers:
        if not 200 <= answer.status < 300:
            raise RuntimeError(f"status {answer.status}: {answer.body[:300]!r}")
    uploaded = [json.loads(answer.body)["id"] for answer in answers if answer.status == HTTPStatus.CREATED]
    return {"milliseconds": taken, "counts": asdict(counts), "uploaded": uploaded}


async def measured_all(folder: Path, asked: dict[str, Any]) -> list[dict[str, Any]]:
    """What standard output is given, by what came on standard input."""
    found = []
    async with opened(folder, asked["token"]) as portal:
        for kind in asked["kinds"]:
            requests = [Request(**each | {"body": base64.b64decode(each["body"])}) for each in kind["requests"]]
            found.append(await measured(portal, requests, kind["at_once"]))
    return found


if __name__ == "__main__":
    print(json.dumps(uvloop.run(measured_all(Path(sys.argv[1]), json.load(sys.stdin)))))
