"""HashingQueue at work that is dear: a few at once, a bounded queue, and nobody fills it for others.

Comes in: who asks. Leaves: a turn, or Unavailable. HashingQueue go round by who waits, signed-in work and strangers' in
alternation: whoever has one request waiting is served after at most one of each other. Where the queue is full, the
newest request of whoever has most in it gives way; if that is who asks, they are refused. Next: `passwords`.
"""

import asyncio
from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from portal.core.errors import Unavailable
from portal.core.principal import Origin

Waiting = deque[asyncio.Future[None]]


@dataclass(frozen=True, slots=True)
class QueueShare:
    """Whose share of the queue a request takes: an account's, or of who is not signed in a network's."""

    key: str
    signed_in: bool = False

    @classmethod
    def by_account(cls, user_id: UUID) -> "QueueShare":
        return cls(str(user_id), signed_in=True)

    @classmethod
    def by_address(cls, origin: Origin) -> "QueueShare":
        return cls(origin.network)


NOBODY: Final = QueueShare("")
"""The command line, and an address that is not known."""


class HashingQueue:
    """Safe for concurrent use by the tasks of one event loop. `places` are turns and places in the queue, together."""

    def __init__(self, at_once: int, places: int) -> None:
        self._free = at_once
        self._places = places
        self._taken = 0
        self._lanes: OrderedDict[bool, OrderedDict[str, Waiting]] = OrderedDict(
            {False: OrderedDict(), True: OrderedDict()}
        )

    @property
    def taken(self) -> int:
        return self._taken

    async def take(self, share: QueueShare) -> None:
        """A turn, to be given back by `done`. Raises Unavailable."""
        if self._taken >= self._places:
            self._make_room(share)
        self._taken += 1
        if self._free > 0:
            self._free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._lanes[share.signed_in].setdefault(share.key, deque()).append(turn)
        try:
            await turn
        except BaseException:
            self._leave(share, turn)
            raise

    def done(self) -> None:
        """The turn goes to whoever is next, or is free."""
        self._taken -= 1
        turn = self._next()
        if turn is None:
            self._free += 1
        else:
            turn.set_result(None)

    def _next(self) -> asyncio.Future[None] | None:
        for signed_in in tuple(self._lanes):
            lane = self._lanes[signed_in]
            self._lanes.move_to_end(signed_in)
            while lane:
                key, waiting = lane.popitem(last=False)
                turn = waiting.popleft()
                if waiting:
                    lane[key] = waiting  # behind everybody else
                if not turn.done():
                    return turn
        return None

    def _make_room(self, share: QueueShare) -> None:
        """Raises Unavailable where nobody has more waiting than who asks."""
        mine = len(self._lanes[share.signed_in].get(share.key, ()))
        most = max((waiting for lane in self._lanes.values() for waiting in lane.values()), key=len, default=deque())
        if len(most) <= mine + 1:
            raise Unavailable("Too many passwords are being judged; try again.")
        newest = most.pop()
        if not newest.done():  # else whoever waited for it is leaving anyhow
            newest.set_exception(Unavailable("Too many passwords are being judged for you; try again."))

    def _leave(self, share: QueueShare, turn: asyncio.Future[None]) -> None:
        """Nobody waits for that turn any more: it may have come in that very moment."""
        if turn.done() and not turn.cancelled() and turn.exception() is None:
            self.done()
            return
        self._taken -= 1
        lane = self._lanes[share.signed_in]
        waiting = lane.get(share.key, deque())
        if turn in waiting:
            waiting.remove(turn)
        if not waiting:
            lane.pop(share.key, None)
