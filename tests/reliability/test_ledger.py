"""The nonce ledger and the checker themselves: what they are there to find, they find."""

import pytest

from ..e2e.conftest import MakePortal
from . import invariants, ledger


def test_the_ledger_has_every_seal_and_finds_a_nonce_used_twice(make_portal: MakePortal) -> None:
    portal = make_portal()
    ledger.keep(portal)
    portal.prepare(analyst="analyst")
    portal.start()
    with portal.client("analyst") as analyst:
        handed_in = [analyst.put("/upload/a.bin", content=bytes(size)).json() for size in (0, 5, 3 << 20)]
    assert portal.stop() == 0
    assert len(ledger.entries(portal)) == 1 + 3 + 1 + 1 + 4  # the data key, three file keys, the segments
    assert ledger.repeated(portal) == []
    acknowledged = {entry["id"]: entry["sha256"] for entry in handed_in}
    invariants.assert_whole(portal, invariants.settled(portal), acknowledged)
    with (portal.folder / "nonces").open("ab") as file:
        file.write(ledger.entries(portal)[3])
    assert len(ledger.repeated(portal)) == 1


def test_the_checker_finds_what_is_lost_and_what_nobody_handed_in(make_portal: MakePortal) -> None:
    portal = make_portal()
    portal.prepare(analyst="analyst")
    portal.start()
    with portal.client("analyst") as analyst:
        entry = analyst.put("/upload/a.bin", content=b"a").json()
    portal.stop()
    acknowledged = {entry["id"]: entry["sha256"]}
    holdings = invariants.settled(portal)
    invariants.assert_whole(portal, holdings, acknowledged)
    with pytest.raises(AssertionError, match="acknowledged and not there"):
        invariants.assert_whole(portal, holdings, acknowledged | {"another": entry["sha256"]})
    with pytest.raises(AssertionError, match="never handed in whole"):
        invariants.assert_whole(portal, holdings, {})
    (portal.folder / "var" / "store" / "tmp" / "leftover").write_bytes(b"")
    with pytest.raises(AssertionError, match="leftover"):
        invariants.assert_whole(portal, invariants.held(portal), acknowledged)
