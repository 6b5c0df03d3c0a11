"""Links as their makers see them: nobody gives away what is not theirs to give, and none is hidden."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from portal.core.errors import Forbidden, InsufficientScope, NotFound, NotSignedIn, PortalError, Unprocessable
from portal.core.ids import new_id
from portal.core.principal import Permission, Principal, Role
from portal.features.authz.policy import CaseReadOnly, TlpForbidsLinks
from portal.features.authz.relation import CaseRole, CaseStatus, Tlp
from portal.features.files.access import Quarantined
from portal.features.identity.accounts import UserChanges
from portal.features.links import links
from portal.features.links.link_sessions import LinkRefused
from portal.features.links.links import LINK_TOKEN
from portal.features.links.views import CreatedLink, LinkKind, NewLink
from tests.features.files.conftest import MARKER, ORIGIN, House

from .conftest import Desk

ROLES = {"lead": CaseRole.LEAD, "contributor": CaseRole.CONTRIBUTOR, "reader": CaseRole.READER}
ROLES |= {"uploader": CaseRole.UPLOADER}
# who: may they give a file, the case, and collect?
MAY = {
    "lead": (None, None, None),
    "contributor": (None, Forbidden, None),
    "reader": (Forbidden, Forbidden, Forbidden),
    "uploader": (NotFound, Forbidden, Forbidden),
    "nobody": (NotFound, NotFound, NotFound),
    "admin": (Forbidden, Forbidden, Forbidden),
    "auditor": (Forbidden, Forbidden, Forbidden),
}


async def answers(desk: Desk, who: Principal, file_id: UUID, case_id: UUID) -> tuple[type[PortalError] | None, ...]:
    found: list[type[PortalError] | None] = []
    for asked in (
        desk.download_link(who, file_id),
        desk.case_link(who, case_id),
        desk.upload_link(who, case_id),
    ):
        try:
            await asked
            found.append(None)
        except PortalError as refused:
            found.append(type(refused))
    return tuple(found)


@pytest.mark.parametrize("who", MAY)
async def test_who_may_make_links_into_a_case(desk: Desk, house: House, lead: Principal, who: str) -> None:
    case_id = await desk.case(lead)
    file = await house.hand_in(lead, case_id=case_id)
    maker = await house.principal(Role(who) if who in {"admin", "auditor"} else Role.ANALYST)
    if who in ROLES:
        await desk.joins(lead, case_id, maker, ROLES[who])
    assert await answers(desk, maker, file.id, case_id) == MAY[who]
    assert len(await house.rows("links")) == MAY[who].count(None)


async def test_an_administrator_who_broke_glass_reads_and_gives_nothing_away(
    desk: Desk, house: House, lead: Principal, admin: Principal
) -> None:
    file = await house.hand_in(lead, case_id=await desk.case(lead))
    await house.files.break_glass.grant(admin, file.id, "a court order", ORIGIN)
    await house.fetch(admin, file.id)
    with pytest.raises(Forbidden):
        await desk.download_link(admin, file.id)


@pytest.mark.parametrize("tlp", [Tlp.RED, Tlp.AMBER_STRICT])
async def test_a_colour_that_allows_no_links_says_so_to_who_may_know(
    desk: Desk, house: House, lead: Principal, tlp: Tlp
) -> None:
    case_id = await desk.case(lead, tlp)
    file = await house.hand_in(lead, case_id=case_id)
    assert await answers(desk, lead, file.id, case_id) == (TlpForbidsLinks, TlpForbidsLinks, None)
    contributor = await house.principal()
    await desk.joins(lead, case_id, contributor, CaseRole.CONTRIBUTOR)
    assert await answers(desk, contributor, file.id, case_id) == (TlpForbidsLinks, Forbidden, TlpForbidsLinks)
    assert await answers(desk, await house.principal(), file.id, case_id) == (NotFound,) * 3


@pytest.mark.parametrize("status", [CaseStatus.CLOSED, CaseStatus.ARCHIVED])
async def test_a_case_that_takes_nothing_gives_nothing(
    desk: Desk, house: House, lead: Principal, status: CaseStatus
) -> None:
    case_id = await desk.case(lead)
    file = await house.hand_in(lead, case_id=case_id)
    await desk.change(lead, case_id, status=CaseStatus.CLOSED)
    await desk.change(lead, case_id, status=status)
    assert await answers(desk, lead, file.id, case_id) == (CaseReadOnly,) * 3


async def test_an_inbox_is_its_owners_to_share(desk: Desk, house: House, lead: Principal, admin: Principal) -> None:
    file = await house.hand_in(lead)
    await desk.download_link(lead, file.id)
    for other, answer in ((await house.principal(), NotFound), (admin, Forbidden)):
        with pytest.raises(answer):
            await desk.download_link(other, file.id)
    auditor = await house.principal(Role.AUDITOR)
    with pytest.raises(Forbidden):
        await desk.upload_link(auditor)


async def test_the_files_of_a_link_lie_in_one_place(desk: Desk, house: House, lead: Principal) -> None:
    here, there = await desk.case(lead), await desk.case(lead)
    files = [await house.hand_in(lead, case_id=place) for place in (here, there, None)]
    for two in (files[:2], files[1:]):
        with pytest.raises(Unprocessable):
            await desk.download_link(lead, *(file.id for file in two))
    with pytest.raises(NotFound):
        await desk.download_link(lead, files[0].id, new_id())
    assert await house.rows("links") == []


async def test_a_quarantined_file_is_given_to_nobody(desk: Desk, house: House, lead: Principal) -> None:
    file = await house.hand_in(lead, MARKER.encode())
    with pytest.raises(Quarantined):
        await desk.download_link(lead, file.id)


async def test_the_secret_is_kept_nowhere_and_shown_by_nothing(desk: Desk, house: House, lead: Principal) -> None:
    made = await desk.upload_link(lead, password="a kite over the harbour")
    redeemed = await desk.sessions.redeem(made.secret, "a kite over the harbour", ORIGIN)
    tables = ("links", "link_sessions", "link_files", "link_uses", "audit")
    shown = [str(row) for table in tables for row in await house.rows(table)]
    wanted = NewLink(LinkKind.UPLOAD, timedelta(1), 1, password="a kite over the harbour")
    shown += map(repr, (made, redeemed, wanted, made.link))
    assert len(shown) == 8
    for text in shown:
        assert made.secret not in text
        assert redeemed.token not in text
        assert "kite" not in text
    assert (await desk.link_row())["digest"] == LINK_TOKEN.digest(made.secret)
    assert "argon2id" not in "".join(map(str, await house.rows("audit")))


async def test_making_and_revoking_is_on_record(desk: Desk, house: House, lead: Principal) -> None:
    case_id = await desk.case(lead)
    made = await desk.upload_link(lead, case_id, most=3, most_bytes=900, password="a kite over the harbour")
    for _ in range(2):
        await desk.links.revoke(lead, made.link.id, ORIGIN)
    created, revoked = await house.record("link.created", "link.revoked")
    for event in (created, revoked):
        assert (event["actor"], event["subject"]) == (lead.actor, str(made.link.id))
        assert event["details"]["case_id"] == str(case_id)
        assert (event["details"]["max_uses"], event["details"]["max_bytes"]) == (3, 900)
        assert event["details"]["has_password"] is True


async def test_every_live_link_is_seen_by_maker_lead_auditor_and_administrator(
    desk: Desk, house: House, lead: Principal, admin: Principal
) -> None:
    case_id = await desk.case(lead)
    maker = await house.principal()
    await desk.joins(lead, case_id, maker, CaseRole.CONTRIBUTOR)
    made = await desk.upload_link(maker, case_id)
    other, auditor = await house.principal(), await house.principal(Role.AUDITOR)
    for who, sees in ((maker, True), (lead, False), (other, False), (admin, True), (auditor, True)):
        found = (await desk.links.list(who, None, 10)).items
        assert [link.id for link in found] == ([made.link.id] if sees else [])
    for who in (lead, admin, auditor):
        assert [link.id for link in (await desk.links.of_case(who, case_id, None, 10)).items] == [made.link.id]
    for who, answer in ((maker, Forbidden), (other, NotFound)):
        with pytest.raises(answer):
            await desk.links.of_case(who, case_id, None, 10)
    await desk.links.revoke(lead, made.link.id, ORIGIN)
    assert (await desk.links.list(admin, None, 10)).items == []
    assert (await desk.links.of_case(lead, case_id, None, 10)).items == []


async def test_a_listing_goes_on_where_it_ended(desk: Desk, lead: Principal) -> None:
    case_id = await desk.case(lead)
    made = [(await desk.upload_link(lead, case_id)).link.id for _ in range(5)]
    for listing in (desk.links.list, lambda who, *page: desk.links.of_case(who, case_id, *page)):
        seen, after = [], None
        for _ in range(3):
            page = await listing(lead, after, 2)
            seen += [link.id for link in page.items]
            after = page.next_after
        assert seen == made[::-1]
        assert after is None


async def test_an_account_has_so_many_live_links(desk: Desk, lead: Principal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "MOST_LINKS", 2)
    first = await desk.upload_link(lead)
    await desk.send(await desk.session(first))  # used up: it is good for nothing any more
    async with asyncio.timeout(60):
        many = await asyncio.gather(*(desk.upload_link(lead) for _ in range(6)), return_exceptions=True)
    live = [made for made in many if isinstance(made, CreatedLink)]
    assert sorted(map(type, many), key=str) == sorted([CreatedLink] * 2 + [links.TooManyLinks] * 4, key=str)
    await desk.links.revoke(lead, live[0].link.id, ORIGIN)
    await desk.upload_link(lead)


async def test_a_session_that_is_good_for_less_makes_no_link_for_more(
    desk: Desk, house: House, lead: Principal
) -> None:
    case_id = await desk.case(lead)
    file = await house.hand_in(lead, case_id=case_id)
    reads, sends = (
        replace(lead, permissions=frozenset({Permission.ACCOUNT, more}))
        for more in (Permission.DOWNLOAD_RAW, Permission.FILES_UPLOAD)
    )
    for refused in (
        desk.upload_link(reads, case_id),
        desk.download_link(sends, file.id),
        desk.case_link(sends, case_id),
    ):
        with pytest.raises(InsufficientScope):
            await refused
    await desk.upload_link(sends, case_id)
    await desk.download_link(reads, file.id)
    await desk.case_link(reads, case_id)


async def test_roles_may_be_kept_from_making_links(desk: Desk, house: House, lead: Principal) -> None:
    uploader = await house.principal(Role.UPLOADER)
    made = await desk.upload_link(uploader)
    desk.links._roles = frozenset({Role.ADMIN, Role.ANALYST})
    with pytest.raises(Forbidden):
        await desk.upload_link(uploader)
    await desk.upload_link(lead)
    await desk.session(made)  # what is there stays


async def test_what_an_account_lost_meanwhile_makes_no_link(desk: Desk, house: House, lead: Principal) -> None:
    await house.identity.accounts.change("a test", lead.user_id, None, UserChanges(disabled=True), ORIGIN)
    with pytest.raises(NotSignedIn):
        await desk.upload_link(lead)
    assert await house.rows("links") == []


@pytest.mark.parametrize(
    ("who", "answer"),
    [
        ("maker", None),
        ("lead", None),
        ("admin", None),
        ("auditor", Forbidden),
        ("reader", NotFound),
        ("nobody", NotFound),
    ],
)
async def test_who_may_revoke(
    desk: Desk, house: House, lead: Principal, who: str, answer: type[PortalError] | None
) -> None:
    case_id = await desk.case(lead)
    maker, reader = await house.principal(), await house.principal()
    await desk.joins(lead, case_id, maker, CaseRole.CONTRIBUTOR)
    await desk.joins(lead, case_id, reader, CaseRole.READER)
    made = await desk.upload_link(maker, case_id)
    callers = {"maker": maker, "lead": lead, "reader": reader, "nobody": await house.principal()}
    for role in (Role.ADMIN, Role.AUDITOR):
        callers[role.value] = await house.principal(role)
    if answer is None:
        await desk.links.revoke(callers[who], made.link.id, ORIGIN)
        with pytest.raises(LinkRefused):
            await desk.session(made)
    else:
        with pytest.raises(answer):
            await desk.links.revoke(callers[who], made.link.id, ORIGIN)
        await desk.session(made)


async def test_a_link_that_nobody_made_is_not_found(desk: Desk, admin: Principal) -> None:
    with pytest.raises(NotFound):
        await desk.links.revoke(admin, new_id(), ORIGIN)
