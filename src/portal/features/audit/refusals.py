"""Refusals on record: who was refused what, beside the request and bounded however many there are.

Comes in: refusals, in any number. Leaves: audit rows, each in a transaction of its own, after that of the refused
request. No answer waits for them: its time would tell what is there. The first refusal of a kind (actor, action,
subject, code) is written at once; more of the kind are counted, and the sweeper's next round writes the count. A caller
has room for so many kinds in a round, then for one row for all the rest: nobody fills the disk.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from portal.core import tasks
from portal.core.principal import Origin
from portal.features.audit.events import Detail, Event, EventKind
from portal.features.audit.record import Recorder

MOST_OF_ONE: Final = 20
"""Kinds of refusal that one caller has rows for in a round."""
MOST_OF_ALL: Final = {True: 500, False: 50}
"""The same for all who are signed in together, and for all who are not: these cannot use up the room of those."""
NOBODY: Final = "nobody"
VARIOUS: Final = "various"


@dataclass(frozen=True, slots=True)
class Refusal:
    """What was refused to whom. `subject` is the object that was asked for, where one is named."""

    actor: str
    action: str
    code: str
    subject: str | None = None
    address: str | None = None

    @property
    def caller(self) -> str:
        """Whom it is counted by: an account with all its tokens together, a stranger by their address."""
        return f"{NOBODY}@{self.address}" if self.actor == NOBODY else self.actor.partition("/")[0]


@dataclass(slots=True)
class _Round:
    more: dict[Refusal, int] = field(default_factory=dict)
    of_one: Counter[str] = field(default_factory=Counter)
    of_all: Counter[bool] = field(default_factory=Counter)


class Refusals:
    """Those of one process. `note` never waits; `close_round` is the sweeper's."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._round = _Round()
        self._waiting: list[Event] = []
        self._writing = False

    def note(self, refusal: Refusal, origin: Origin) -> None:
        """Have it written, or counted."""
        kept = self._within_bounds(refusal)
        if kept in self._round.more:
            self._round.more[kept] += 1
            return
        self._round.more[kept] = 0
        self._waiting.append(_event(kept, origin))
        if not self._writing:
            self._writing = True
            tasks.spawn_to_end(self._write())

    async def close_round(self) -> None:
        """Write what was counted, and begin anew."""
        ended, self._round = self._round, _Round()
        for refusal, more in ended.more.items():
            if more:
                await self._recorder.outcome(_event(refusal, Origin(None, refusal.address), more=more))

    def _within_bounds(self, refusal: Refusal) -> Refusal:
        """The refusal itself, or what stands for all that there is no room for."""
        here, known = self._round, refusal.actor != NOBODY
        if refusal in here.more:
            return refusal
        if here.of_all[known] >= MOST_OF_ALL[known]:
            return Refusal(VARIOUS if known else NOBODY, VARIOUS, VARIOUS)
        if here.of_one[refusal.caller] >= MOST_OF_ONE:
            return Refusal(
                refusal.caller if known else NOBODY, VARIOUS, VARIOUS, None, None if known else refusal.address
            )
        here.of_all[known] += 1
        here.of_one[refusal.caller] += 1
        return refusal

    async def _write(self) -> None:
        """One after the other: a flood of refusals holds one connection of the pool."""
        try:
            while self._waiting:
                await self._recorder.outcome(self._waiting.pop(0))
        finally:
            self._writing = False


def _event(refusal: Refusal, origin: Origin, *, more: int = 0) -> Event:
    details: dict[str, Detail] = {"action": refusal.action, "code": refusal.code}
    if more:
        details["more"] = more
    return Event(EventKind.REFUSED, refusal.actor, refusal.subject, origin, details)
