"""Refusals in the audit log: written in the background, and bounded in number.

Comes in: refusals, in any number. Leaves: audit rows, each in its own transaction, after the one of the refused
request. No response waits for them: its timing would reveal whether the object exists. The first refusal of a kind
(actor, action, subject, code) is written at once. Further ones of the kind are counted, and the end of the round (once
a minute) writes the count. A caller gets rows for MOST_OF_ONE kinds in a round, and one row for all others. So no
caller can fill the disk.

    a token asks for the same file 100 times: one row at once, and one with `more: 99` at the end of the round
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from portal.core import tasks
from portal.core.principal import Origin
from portal.features.audit.events import Detail, Event, EventKind
from portal.features.audit.record import Recorder

MOST_OF_ONE: Final = 20
"""The number of kinds of refusal for which one caller gets rows in a round."""
MOST_OF_ALL: Final = {True: 500, False: 50}
"""The same for all signed-in callers together (True), and for all anonymous callers together (False).

The two are separate, so that anonymous callers cannot use up the rows of signed-in ones.
"""
NOBODY: Final = "nobody"
VARIOUS: Final = "various"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refused request of `actor`. `subject` is the requested object, if the request names one."""

    actor: str
    action: str
    code: str
    subject: str | None = None
    address: str | None = None

    @property
    def caller(self) -> str:
        """The caller that it counts for: an account together with its tokens; an anonymous caller by address."""
        return f"{NOBODY}@{self.address}" if self.actor == NOBODY else self.actor.partition("/")[0]


@dataclass(slots=True)
class _Round:
    more: dict[Refusal, int] = field(default_factory=dict)
    of_one: Counter[str] = field(default_factory=Counter)
    of_all: Counter[bool] = field(default_factory=Counter)


class Refusals:
    """The refusals of one process. `note` never waits; `portal.background` calls `close_round` once a minute."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._round = _Round()
        self._waiting: list[Event] = []
        self._writing = False

    def note(self, refusal: Refusal, origin: Origin) -> None:
        """Write the refusal in the background, or count it."""
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
        """Write the counts of this round, and begin the next one."""
        ended, self._round = self._round, _Round()
        for refusal, more in ended.more.items():
            if more:
                await self._recorder.outcome(_event(refusal, Origin(None, refusal.address), more=more))

    def _within_bounds(self, refusal: Refusal) -> Refusal:
        """The refusal itself; beyond the bounds a general one, which counts for all others."""
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
        """Write the waiting events one by one: a flood of refusals uses one connection of the pool."""
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
