"""The portal in this process, asked without a socket: `python -m bench.in_process FOLDER`.

Comes in: the folder of a portal; on standard input, as JSON, a token and what to ask. Leaves: on standard output the
processor time of one request of each kind, and what was uploaded. Next: `rows/requests` makes figures of it, and
`tests/bench` counts what a request does.
"""

import asyncio
import base64
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import uvloop
from fastapi import FastAPI

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


async def ask_all(portal: InProcess, requests: Sequence[Request], at_once: int) -> tuple[float, list[Answer]]:
    """Milliseconds of the processor for one of these, in all threads of this process; and the answers."""
    answers, turns = [await portal.ask(requests[0])], iter(requests[1:])  # the first is not counted

    async def take_turns() -> None:
        answers.extend([await portal.ask(request) for request in turns])

    started = time.process_time()
    await asyncio.gather(*(take_turns() for _ in range(at_once)))
    taken = time.process_time() - started
    for answer in answers:
        if not 200 <= answer.status < 300:
            raise RuntimeError(f"status {answer.status}: {answer.body[:300]!r}")
    return 1000 * taken / (len(requests) - 1), answers


async def measure(folder: Path, asked: dict[str, Any]) -> dict[str, Any]:
    """What standard output is given, by what came on standard input."""
    taken, uploaded = [], []
    async with opened(folder, asked["token"]) as portal:
        for kind in asked["kinds"]:
            requests = [Request(**each | {"body": base64.b64decode(each["body"])}) for each in kind["requests"]]
            cost, answers = await ask_all(portal, requests, kind["at_once"])
            taken.append(cost)
            uploaded += [json.loads(answer.body) for answer in answers if answer.status == HTTPStatus.CREATED]
    return {"milliseconds": taken, "uploaded": [entry["id"] for entry in uploaded]}


if __name__ == "__main__":
    print(json.dumps(uvloop.run(measure(Path(sys.argv[1]), json.load(sys.stdin)))))
