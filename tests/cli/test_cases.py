"""`portal cases shred`: a case and its content go, and a receipt stays that is verified elsewhere."""

from typing import Any
from uuid import UUID

import pytest

from portal.bootstrap import Portal
from portal.core.ids import new_id
from portal.core.principal import NOWHERE
from portal.features.authz.relation import CaseStatus
from portal.features.cases.catalog import CaseChanges, NewCase
from portal.features.cases.views import CaseView

from .conftest import Arriving, Shell, sign_up


@pytest.fixture
def case(portal: Shell) -> CaseView:
    """A closed case."""

    async def make(opened: Portal) -> CaseView:
        lead = await sign_up(opened)
        made = await opened.cases.register.open(lead, NewCase("a title that is secret"), NOWHERE)
        return await opened.cases.register.update(lead, made.id, None, CaseChanges(status=CaseStatus.CLOSED), NOWHERE)

    return portal.inside(make)


def shred(portal: Shell, case_id: UUID, number: str, *more: str) -> Any:
    return portal("cases", "shred", str(case_id), "--number", number, *more)


def test_a_case_is_shredded_and_its_receipt_is_verified_without_the_portal(portal: Shell, case: CaseView) -> None:
    receipt, keys = portal.folder / "receipt.json", portal.folder / "keys.json"
    said = shred(portal, case.id, case.number, "--to", str(receipt), "--json").json
    assert portal("receipt", "show", said["receipt_id"]).out == receipt.read_text()
    keys.write_text(portal("receipt", "keys").out)
    payload = portal("receipt", "verify", str(receipt), "--key", str(keys), "--json").json["payload"]
    assert payload["case"] == {"id": str(case.id), "number": case.number}
    assert payload["requested_by"].startswith("system:cli/")
    assert "secret" not in receipt.read_text()
    again = shred(portal, case.id, case.number)
    assert (again.code, again.out) == (3, "")
    assert again.err.startswith("portal: The case is shredded")


def test_a_blob_of_the_store_goes_with_the_case(portal: Shell) -> None:
    async def filled(opened: Portal) -> CaseView:
        lead = await sign_up(opened)
        made = await opened.cases.register.open(lead, NewCase("another"), NOWHERE)
        await opened.files.intake.receive(lead, Arriving(bytes(100_000), "large.bin", case_id=made.id), NOWHERE)
        return await opened.cases.register.update(lead, made.id, None, CaseChanges(status=CaseStatus.CLOSED), NOWHERE)

    full = portal.inside(filled)
    ran = shred(portal, full.id, full.number)
    assert (ran.code, ran.err) == (0, "")
    assert not [path for path in (portal.folder / "var" / "store" / "blobs").rglob("*") if path.is_file()]


def test_nothing_is_done_where_the_number_is_anothers_or_the_case_unknown(portal: Shell, case: CaseView) -> None:
    for case_id, number in ((case.id, "2020-0001"), (new_id(), case.number)):
        assert shred(portal, case_id, number).code == 3
    assert portal.query("SELECT status FROM cases") == [("closed",)]
    assert portal("receipt", "show", str(new_id())).code == 3


def test_a_receipt_is_never_written_over_another_file(portal: Shell, case: CaseView) -> None:
    there = portal.folder / "there"
    there.write_text("mine")
    assert shred(portal, case.id, case.number, "--to", str(there)).code == 2
    assert portal.query("SELECT status FROM cases") == [("closed",)]


def test_where_approval_is_needed_the_command_asks_and_may_take_it_back(portal: Shell, case: CaseView) -> None:
    with (portal.folder / ".env").open("a") as env:
        env.write("PORTAL_APPROVALS=shred,retire\n")
    asked = shred(portal, case.id, case.number, "--json").json["approval_id"]
    (listed,) = portal("approvals", "list", "--json").json
    assert (listed["id"], listed["status"], listed["subject"]) == (asked, "pending", str(case.id))
    assert (listed["about"], listed["approved_by"]) == (f"{case.number} version {case.version}", None)
    assert portal.query("SELECT status FROM cases") == [("closed",)]
    assert portal("approvals", "refuse", asked, "--json").json["status"] == "refused"
    assert portal("approvals", "refuse", asked).code == 3
    (key,) = portal("keys", "status", "--json").json["master_keys"]
    assert portal("keys", "retire", key["key_id"]).err.startswith("portal: It wraps new data keys")
