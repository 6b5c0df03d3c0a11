"""A fair, bounded queue for expensive work: a few turns at once, and no caller can fill the queue for the others.

Comes in: a share, which names the account or the network of a request. Leaves: a turn, or Unavailable. Turns go round
robin over the shares, alternately to signed-in shares and to the others: a share with one waiting request waits for at
most one request of each other share in its lane. When the queue is full, the share with most waiting requests makes
room: its newest request is refused. If that is the caller's own share, the caller is refused. Next: `passwords`.
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
    """The share of the queue that a request counts for: an account, or a network for a caller that is not signed in."""

    key: str
    signed_in: bool = False

    @classmethod
    def by_account(cls, user_id: UUID) -> "QueueShare":
        return cls(str(user_id), signed_in=True)

    @classmethod
    def by_address(cls, origin: Origin) -> "QueueShare":
        return cls(origin.network)


NOBODY: Final = QueueShare("")
"""The share of the command line and of unknown addresses."""


class HashingQueue:
    """The queue: `at_once` turns run together; `places` bounds running and waiting requests together.

    Safe for concurrent use by the tasks of one event loop. After each `take` call `done` once:

        await queue.take(share)
        try:
            ...  # the expensive work
        finally:
            queue.done()
    """

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
        """Wait for a turn; `done` returns it. A cancelled caller leaves the queue and holds no turn.

        Raises Unavailable, also while it waits, when the queue is full.
        """
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
        """Return a turn: it goes to the next waiting request, or becomes free."""
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
                    lane[key] = waiting  # behind all other shares
                if not turn.done():
                    return turn
        return None

    def _make_room(self, share: QueueShare) -> None:
        """Refuse the newest request of the share that has most waiting.

        Raises Unavailable where that share has no more waiting than the caller's would have with this request.
        """
        mine = len(self._lanes[share.signed_in].get(share.key, ()))
        most = max((waiting for lane in self._lanes.values() for waiting in lane.values()), key=len, default=deque())
        if len(most) <= mine + 1:
            raise Unavailable("Too many passwords are being judged; try again.")
        newest = most.pop()
        if not newest.done():  # else its caller was cancelled and is leaving
            newest.set_exception(Unavailable("Too many passwords are being judged for you; try again."))

    def _leave(self, share: QueueShare, turn: asyncio.Future[None]) -> None:
        """Take a cancelled or refused request out of the queue. A turn that it was just given is passed on."""
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
