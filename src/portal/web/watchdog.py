"""The body watchdog, in pure ASGI: a client that stops sending, or sends drop by drop, is answered 408 and cut off.

Comes in: `receive`. Leaves: the same messages, or `TooSlow` in the place of one that did not come in time. Only the
time spent waiting for the client counts, never what the portal takes for itself. Outside of it `BodyLimit`
closes the connection. Who does not read, or never ends a head, is `connection`'s to judge: no ASGI application sees it.
"""

import asyncio
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from portal.core.timeouts import ClientTimeouts
from portal.web.errors import TooSlow


class BodyWatchdog:
    """Every `stall_bytes` buy the client another `stall_seconds` of waiting."""

    def __init__(self, app: ASGIApp, client_timeouts: ClientTimeouts) -> None:
        self._app = app
        self._patience = client_timeouts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        left: float = self._patience.stall_seconds
        came, done = 0, False

        async def watched() -> Message:
            nonlocal left, came, done
            if done:  # what is waited for now is the client's leaving, and that may take its time
                return await receive()
            began = time.monotonic()
            try:
                async with asyncio.timeout(left):
                    message = await receive()
            except TimeoutError:
                raise TooSlow from None
            left -= time.monotonic() - began
            came += len(message.get("body", b""))
            done = not message.get("more_body", False)
            if came >= self._patience.stall_bytes:
                left, came = self._patience.stall_seconds, 0
            return message

        await self._app(scope, watched, send)
