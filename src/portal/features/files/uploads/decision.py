"""What becomes of an upload by what it contains: the one place where that is decided, between sealing and committing.

Comes in: `Findings`, and the policy of the place where the file is to lie. Leaves: a `Decision`. Nothing here waits for
anything. Next: `intake` commits, or lets nothing be kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from portal.backends.scanners.base import Outcome
from portal.core.errors import Unprocessable
from portal.features.audit.events import Detail
from portal.features.files.models import Status
from portal.strongbox.model import Findings


@dataclass(frozen=True, slots=True)
class ContentPolicy:
    """READY, QUARANTINED or REJECTED for what is not clean. The default is the portal's; a case may have its own.

    Where a scan is required, an upload is refused while a scanner is away, before anything is decided.
    """

    infected: Status = Status.QUARANTINED
    unscannable: Status = Status.QUARANTINED
    scan_required: bool = True


@dataclass(frozen=True, slots=True)
class Decision:
    """What the file becomes, what it is labelled with, and why: `reason` is a stable word, for the audit log."""

    status: Status
    labels: frozenset[str]
    reason: str


class ContentRejected(Unprocessable):
    """The policy keeps nothing of such content. `found` is for the audit log, not for the caller."""

    code, title = "content_rejected", "The file is refused for what it contains; nothing was kept."

    def __init__(self, detail: str | None = None, found: Mapping[str, Detail] | None = None) -> None:
        super().__init__(detail)
        self.found = dict(found or {})


def rejection(decision: Decision, findings: Findings) -> ContentRejected:
    """What to raise for a decision to reject."""
    text = f"The scan says {decision.reason}: no such file is taken here; nothing was kept."
    found: dict[str, Detail] = {"reason": decision.reason, "found": findings.verdict.detail}
    return ContentRejected(text, found | {"sha256": findings.sha256.hex(), "size": findings.size})


def decide(findings: Findings, policy: ContentPolicy) -> Decision:
    """What the policy makes of the findings."""
    outcome = findings.verdict.outcome
    statuses = {
        Outcome.CLEAN: Status.READY,
        Outcome.NOT_SCANNED: Status.READY,
        Outcome.SCANNER_AWAY: Status.QUARANTINED,
        Outcome.UNSCANNABLE: policy.unscannable,
        Outcome.INFECTED: policy.infected,
    }
    return Decision(statuses[outcome], findings.labels, outcome.value)
