"""The audit service, built once per process. Comes in: resources, and the sinks that receive events.

Leaves: the `Recorder` and the `Refusals` that routes and services share. For an event in its own transaction, every
service calls `record.write` directly.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from portal.features.audit import outbox
from portal.features.audit.outbox import Sink
from portal.features.audit.record import Recorder
from portal.features.audit.refusals import Refusals
from portal.resources import Resources


@dataclass(frozen=True, slots=True)
class Audit:
    """`recorder` writes outcomes after their transaction; `refusals` writes refused requests in the background."""

    recorder: Recorder
    refusals: Refusals


def build(resources: Resources, sinks: Sequence[Sink] = ()) -> Audit:
    """Build the service on one set of resources."""
    outbox.register(resources.database.engine, sinks)
    recorder = Recorder(resources.database, resources.journal)
    return Audit(recorder, Refusals(recorder))
