"""The body watchdog without a clock: who has no patience at all takes what is there, and waits for nothing."""

import asyncio

import pytest
from starlette.types import Message, Receive, Scope, Send

from portal.core.timeouts import ClientTimeouts
from portal.web.errors import TooSlow
from portal.web.watchdog import BodyWatchdog

NONE = ClientTimeouts(head_seconds=1, stall_seconds=0, bytes_per_second=1)


def piece(body: bytes, *, more: bool) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


class Client:
    """Sends what it was made with, then nothing until it `leaves`."""

    def __init__(self, *messages: Message) -> None:
        self._messages = list(messages)
        self.leaves = asyncio.Event()

    async def receive(self) -> Message:
        if self._messages:
            return self._messages.pop(0)
        await self.leaves.wait()
        return {"type": "http.disconnect"}


async def through_watchdog(client: Client, times: int) -> list[Message]:
    """What an application gets that asks for the next message so many times."""
    got: list[Message] = []

    async def app(_: Scope, receive: Receive, __: Send) -> None:
        while len(got) < times:
            got.append(await receive())

    async def send(_: Message) -> None:
        pytest.fail("the watchdog itself says nothing")

    await BodyWatchdog(app, NONE)({"type": "http"}, client.receive, send)
    return got


async def test_what_is_there_is_given_as_it_is() -> None:
    sent = [piece(b"a", more=True), piece(b"", more=True), piece(b"b", more=False)]
    assert await through_watchdog(Client(*sent), 3) == sent


@pytest.mark.parametrize("came", [0, 1, 2])
async def test_a_body_that_does_not_come_is_too_slow(came: int) -> None:
    with pytest.raises(TooSlow):
        await through_watchdog(Client(*[piece(b"a", more=True)] * came), came + 1)


async def test_who_has_sent_everything_may_stay_as_long_as_it_likes() -> None:
    client = Client(piece(b"a", more=False))
    asking = asyncio.create_task(through_watchdog(client, 2))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not asking.done()
    client.leaves.set()
    assert (await asking)[1] == {"type": "http.disconnect"}


async def test_what_is_no_request_is_left_alone() -> None:
    seen: list[object] = []

    async def app(*given: object) -> None:
        seen.extend(given)

    async def send(_: Message) -> None:
        pytest.fail("nobody spoke")

    receive = Client().receive
    await BodyWatchdog(app, NONE)({"type": "lifespan"}, receive, send)
    assert seen == [{"type": "lifespan"}, receive, send]
