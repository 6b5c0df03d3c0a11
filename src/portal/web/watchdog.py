"""The body watchdog, in pure ASGI: a client that stops sending its body, or sends too slowly, gets 408 and is cut off.

Comes in: `receive`. Leaves: the same messages; or `TooSlow` when one does not arrive in time. Only the time of waiting
for the client counts, never the portal's own work. `BodyLimit`, outside of it, closes the connection. A client that
does not read its response, or never completes a head, is handled by `connection`: an ASGI application cannot see it.
"""

import asyncio
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from portal.core.timeouts import ClientTimeouts
from portal.web.errors import TooSlow


class BodyWatchdog:
    """Allows `stall_seconds` of waiting for every `stall_bytes` of body; the allowance is renewed, not accumulated."""

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
            if done:  # the body is complete: the next message is the client's disconnect, which has no timeout
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
