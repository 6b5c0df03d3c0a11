"""The outbox: events that sinks outside the database have not received yet.

Comes in: an event that `record.write` has just written, in the same transaction. Leaves: for each sink that wants its
kind a row that names the audit row; none, and no statement, where no sink does. Next: a deliverer claims rows and
acknowledges them, so that each sink receives every event at least once.

The sinks stand among the engine's execution options: every transaction of this process knows them, whichever service
writes. Each process of a portal has to be opened with the same sinks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import bindparam, delete, insert, literal, select, update

from portal.core import clock
from portal.db.connection import Connection, Engine
from portal.db.statements import hold_alone, scanning
from portal.db.tables import table
from portal.features.audit.events import Event, EventKind
from portal.features.audit.models import AuditRow, OutboxRow

_OPTION: Final = "portal_audit_sinks"
_audit = table(AuditRow)
_outbox = table(OutboxRow)
_ADD: Any = insert(_outbox).from_select(
    ["sink", "seq"],
    select(bindparam("to", type_=_outbox.c.sink.type), _audit.c.seq).where(_audit.c.id == bindparam("of")),
)


@dataclass(frozen=True, slots=True)
class Sink:
    """Where events go that match a pattern: `file.uploaded` is one kind, `file.*` a family, `*` every kind."""

    name: str
    patterns: frozenset[str]

    def wants(self, kind: EventKind) -> bool:
        family = f"{kind.value.partition('.')[0]}.*"
        return not self.patterns.isdisjoint({kind.value, family, "*"})


@dataclass(frozen=True, slots=True)
class OutboxClaim:
    """Events of one sink that are leased to one deliverer `until` a time: canonical bytes by `seq`, in order."""

    sink: str
    until: datetime
    events: dict[int, bytes]


def register(engine: Engine, sinks: Sequence[Sink]) -> None:
    """Fill the outbox for these sinks from the next transaction of this engine on."""
    engine.sync_engine.update_execution_options(**{_OPTION: tuple(sinks)})


async def add(connection: Connection, event: Event) -> None:
    """Have the event's row delivered to each sink that wants it."""
    for sink in connection.sync_engine.get_execution_options().get(_OPTION, ()):
        if sink.wants(event.kind):
            await connection.execute(_ADD, {"to": sink.name, "of": event.id})


async def claim(connection: Connection, sink: str, *, most: int, lease: timedelta) -> OutboxClaim:
    """The sink's next events by `seq`; none while another deliverer has some.

    An event that begins after another was committed comes after it. On Postgres two events of transactions that overlap
    may swap, as their `seq` does; a sink that needs one order for good takes the number of the sealed row. An event
    that is not acknowledged can be claimed again once the lease has expired.
    """
    await hold_alone(connection, f"audit sink {sink}")
    now, mine = clock.now(), _outbox.c.sink == sink
    until = now + lease
    if await connection.scalar(scanning(select(literal(1)).where(mine, _outbox.c.claimed_until > now).limit(1))):
        return OutboxClaim(sink, until, {})
    wanted = select(_outbox.c.seq, _audit.c.body).join(_audit, _audit.c.seq == _outbox.c.seq)
    first = scanning(wanted.where(mine).order_by(_outbox.c.seq).limit(most))
    found = (await connection.execute(first)).mappings().all()
    events = {int(row["seq"]): str(row["body"]).encode() for row in found}
    taken = update(_outbox).where(mine, _outbox.c.seq.in_(events)).values(claimed_until=until)
    await connection.execute(scanning(taken))
    return OutboxClaim(sink, until, events)


async def acknowledge(connection: Connection, claim: OutboxClaim, delivered: Sequence[int]) -> None:
    """End a claim: the events that were delivered leave the outbox, the others can be claimed again. Idempotent."""
    mine = _outbox.c.sink == claim.sink
    await connection.execute(scanning(delete(_outbox).where(mine, _outbox.c.seq.in_(delivered))))
    left = update(_outbox).where(mine, _outbox.c.claimed_until == claim.until)
    await connection.execute(scanning(left.values(claimed_until=None)))
