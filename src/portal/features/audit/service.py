"""The audit service, built once a process. Comes in: resources, and the sinks that events go to.

Leaves: what the doors and the other services use beside `record.write`, which every service calls in its transaction.
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
    """`recorder` writes outcomes that come after their transaction, `refusals` what was refused beside a request."""

    recorder: Recorder
    refusals: Refusals


def build(resources: Resources, sinks: Sequence[Sink] = ()) -> Audit:
    """The service over one set of resources."""
    outbox.register(resources.database.engine, sinks)
    recorder = Recorder(resources.database, resources.journal)
    return Audit(recorder, Refusals(recorder))
