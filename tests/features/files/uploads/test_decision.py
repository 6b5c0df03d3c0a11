"""What becomes of a file by what it contains: one table."""

import pytest

from portal.backends.scanners.base import ScanOutcome, Verdict
from portal.features.files.models import Status
from portal.features.files.uploads.decision import ContentPolicy, decide
from portal.strongbox.model import Findings

READY, QUARANTINED, REJECTED = Status.READY, Status.QUARANTINED, Status.REJECTED
DEFAULT = ContentPolicy()
STRICT = ContentPolicy(infected=REJECTED, unscannable=REJECTED)
OF_SAMPLES = ContentPolicy(infected=READY, scan_required=False)


@pytest.mark.parametrize(
    ("outcome", "default", "strict", "of_samples"),
    [
        (ScanOutcome.CLEAN, READY, READY, READY),
        (ScanOutcome.NOT_SCANNED, READY, READY, READY),
        (ScanOutcome.SCANNER_AWAY, QUARANTINED, QUARANTINED, QUARANTINED),
        (ScanOutcome.UNSCANNABLE, QUARANTINED, REJECTED, QUARANTINED),
        (ScanOutcome.INFECTED, QUARANTINED, REJECTED, READY),
    ],
)
def test_each_outcome_under_each_policy(
    outcome: ScanOutcome, default: Status, strict: Status, of_samples: Status
) -> None:
    findings = Findings(1, bytes(32), "text/plain", Verdict(outcome, "detail"), frozenset({"secret"}))
    for policy, status in ((DEFAULT, default), (STRICT, strict), (OF_SAMPLES, of_samples)):
        decision = decide(findings, policy)
        assert (decision.status, decision.reason) == (status, outcome.value)
        assert decision.labels == {"secret"}


def test_the_table_has_every_outcome() -> None:
    for outcome in ScanOutcome:
        assert decide(Findings(0, bytes(32), "", Verdict(outcome)), DEFAULT).status in {READY, QUARANTINED}


@pytest.mark.parametrize("outcome", ScanOutcome)
def test_a_file_is_never_ready_where_a_scanner_was_away(outcome: ScanOutcome) -> None:
    lenient = ContentPolicy(infected=READY, unscannable=READY, scan_required=False)
    decision = decide(Findings(0, bytes(32), "", Verdict(outcome), away=True), lenient)
    assert (decision.status, decision.reason) == (QUARANTINED, "scanner_away")


def test_what_is_rejected_stays_rejected_where_another_scanner_was_away() -> None:
    decision = decide(Findings(0, bytes(32), "", Verdict(ScanOutcome.INFECTED), away=True), STRICT)
    assert (decision.status, decision.reason) == (REJECTED, "infected")
