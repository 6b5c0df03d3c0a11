"""The decision on an upload's content: ready, quarantined or rejected. It is made here only, between seal and commit.

Comes in: `Findings`, and the policy of the upload's target. Leaves: a `Decision`. Nothing here does I/O. Next: `intake`
commits the file, or stores nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from portal.backends.scanners.base import ScanOutcome
from portal.core.errors import Unprocessable
from portal.features.audit.events import Detail
from portal.features.files.models import Status
from portal.strongbox.model import Findings


@dataclass(frozen=True, slots=True)
class ContentPolicy:
    """The status for content that is not clean: READY, QUARANTINED or REJECTED, by the scan's outcome.

    The default is that of the portal; a case may have its own. With `scan_required`, an upload is refused while a
    scanner is unavailable, before any decision.
    """

    infected: Status = Status.QUARANTINED
    unscannable: Status = Status.QUARANTINED
    scan_required: bool = True


@dataclass(frozen=True, slots=True)
class Decision:
    """The status and the labels of the file, and the reason: a stable word for the audit log."""

    status: Status
    labels: frozenset[str]
    reason: str


class ContentRejected(Unprocessable):
    """The policy rejects the content; nothing of it is stored. `found` is for the audit log, not for the caller."""

    code, title = "content_rejected", "The file is refused for what it contains; nothing was kept."

    def __init__(self, detail: str | None = None, found: Mapping[str, Detail] | None = None) -> None:
        super().__init__(detail)
        self.found = dict(found or {})


def rejection(decision: Decision, findings: Findings) -> ContentRejected:
    """The error for a decision to reject."""
    text = f"The scan says {decision.reason}: no such file is taken here; nothing was kept."
    found: dict[str, Detail] = {"reason": decision.reason, "found": findings.verdict.detail}
    return ContentRejected(text, found | {"sha256": findings.sha256.hex(), "size": findings.size})


def decide(findings: Findings, policy: ContentPolicy) -> Decision:
    """The decision of the policy on the findings. A file is never READY if a scanner was unavailable.

    Example: one scanner is unavailable, the other's verdict is UNSCANNABLE, and the policy makes that READY. The file
    is QUARANTINED: the first scanner might have found it infected.
    """
    outcome = findings.verdict.outcome
    statuses = {
        ScanOutcome.CLEAN: Status.READY,
        ScanOutcome.NOT_SCANNED: Status.READY,
        ScanOutcome.SCANNER_AWAY: Status.QUARANTINED,
        ScanOutcome.UNSCANNABLE: policy.unscannable,
        ScanOutcome.INFECTED: policy.infected,
    }
    if findings.away and statuses[outcome] is Status.READY:
        return Decision(Status.QUARANTINED, findings.labels, ScanOutcome.SCANNER_AWAY.value)
    return Decision(statuses[outcome], findings.labels, outcome.value)
