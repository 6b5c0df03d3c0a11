"""Redeeming: one answer for whatever is wrong, guesses that wait, and a token that dies with its maker's right."""

from collections.abc import Awaitable, Callable

import pytest

from portal.core import clock
from portal.core.errors import NotSignedIn, PortalError, Unavailable, Unprocessable
from portal.core.principal import CredentialKind, Permission, Principal, Role
from portal.features.authz.relation import CaseRole, CaseStatus, Tlp
from portal.features.identity import passwords
from portal.features.identity.hashing_queue import QueueShare
from portal.features.identity.throttle import TooManyAttempts
from portal.features.links.link_sessions import FREE, LIFETIME, SESSION_TOKEN, LinkRefused
from portal.features.links.links import LINK_TOKEN
from portal.features.links.views import CreatedLink
from tests.features.files.conftest import ORIGIN, House

from .conftest import Clock, Desk

PASSWORD = "a kite over the harbour"


async def refused(desk: Desk, secret: str, password: str | None = None) -> str:
    with pytest.raises(LinkRefused) as error:
        await desk.sessions.redeem(secret, password, ORIGIN)
    return str(error.value)


async def test_a_link_stands_for_its_maker_and_for_one_thing(desk: Desk, lead: Principal) -> None:
    case_id = await desk.case(lead)
    made = await desk.upload_link(lead, case_id)
    session = await desk.session(made)
    assert session.principal == Principal(
        f"link:{made.link.id}",
        Role.ANALYST,
        lead.user_id,
        made.link.id,
        CredentialKind.LINK,
        frozenset({Permission.LINK_UPLOAD}),
        case_id,
    )


async def test_redeeming_uses_nothing_up_and_is_on_record(desk: Desk, house: House, lead: Principal) -> None:
    made = await desk.upload_link(lead)
    tokens = {(await desk.sessions.redeem(made.secret, None, ORIGIN)).token for _ in range(3)}
    assert len(tokens) == 3
    assert (await desk.link_row())["used"] == 0
    redeemed = await house.record("link.redeemed")
    assert [(event["actor"], event["subject"]) for event in redeemed] == [
        (f"link:{made.link.id}", str(made.link.id))
    ] * 3


async def test_whatever_is_wrong_gets_one_answer_and_is_on_record(
    desk: Desk, house: House, lead: Principal, hands: Clock
) -> None:
    guarded = await desk.upload_link(lead, password=PASSWORD)
    over, revoked = await desk.upload_link(lead), await desk.upload_link(lead)
    file = await house.hand_in(lead)
    used_up = await desk.download_link(lead, file.id)
    await desk.fetch(await desk.session(used_up), file.id)
    await desk.links.revoke(lead, revoked.link.id, ORIGIN)
    said = [
        await refused(desk, LINK_TOKEN.new()),
        await refused(desk, LINK_TOKEN.new(), PASSWORD),
        await refused(desk, "prl_nonsense"),
        await refused(desk, SESSION_TOKEN.new()),
        await refused(desk, revoked.secret),
        await refused(desk, used_up.secret),
        await refused(desk, guarded.secret),
        await refused(desk, guarded.secret, "a kite over the harbor"),
    ]
    hands.passes(days=1)
    said.append(await refused(desk, over.secret))
    assert len(set(said)) == 1
    events = await house.record("link.refused")
    assert [event["actor"] for event in events] == ["nobody"] * len(said)
    subjects = [event["subject"] for event in events]
    assert subjects == [None] * 6 + [str(guarded.link.id)] * 2 + [None]


async def test_a_password_that_is_sent_costs_the_same_work_for_a_link_that_is_not_there(
    desk: Desk, lead: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    guarded = await desk.upload_link(lead, password=PASSWORD)
    asked: list[bool] = []
    real = desk.sessions._hasher.verify

    async def verify(password: str, known: str | None, asker: QueueShare) -> bool:
        asked.append(known is not None)
        return await real(password, known, asker)

    monkeypatch.setattr(desk.sessions._hasher, "verify", verify)
    for secret, password in ((guarded.secret, "wrong"), (LINK_TOKEN.new(), "wrong"), (guarded.secret, None)):
        await refused(desk, secret, password)
    assert asked == [True, False]
    await desk.session(guarded, PASSWORD)
    assert asked == [True, False, True]


async def test_what_can_be_no_password_is_on_record_and_costs_nothing_for_anybody(
    desk: Desk, house: House, lead: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await desk.upload_link(lead, password=PASSWORD)
    monkeypatch.setattr(passwords, "_in_thread", None)
    for secret in (made.secret, LINK_TOKEN.new()):
        with pytest.raises(Unprocessable):
            await desk.sessions.redeem(secret, "é" * 1024, ORIGIN)
    assert len(await house.record("link.refused")) == 2


async def test_what_nobody_judged_is_no_wrong_password(
    desk: Desk, lead: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await desk.upload_link(lead, password=PASSWORD)

    async def verify(*_: object) -> bool:
        raise Unavailable

    with monkeypatch.context() as busy:
        busy.setattr(desk.sessions._hasher, "verify", verify)
        for secret in [made.secret] * (FREE + 1) + [LINK_TOKEN.new()]:
            with pytest.raises(Unavailable):
                await desk.sessions.redeem(secret, PASSWORD, ORIGIN)
    assert (await desk.link_row())["failures"] == 0
    await desk.session(made, PASSWORD)


async def test_a_link_that_ends_while_its_password_is_judged_is_refused(
    desk: Desk, lead: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await desk.upload_link(lead, password=PASSWORD)
    real = desk.sessions._hasher.verify

    async def verify(password: str, known: str | None, asker: QueueShare) -> bool:
        await desk.links.revoke(lead, made.link.id, ORIGIN)
        return await real(password, known, asker)

    monkeypatch.setattr(desk.sessions._hasher, "verify", verify)
    await refused(desk, made.secret, PASSWORD)
    assert await desk.house.rows("link_sessions") == []


async def test_wrong_passwords_wait_and_never_longer_than_a_quarter_of_an_hour(
    desk: Desk, house: House, lead: Principal, hands: Clock
) -> None:
    made = await desk.upload_link(lead, password=PASSWORD)
    hands.passes(hours=-1)
    for _ in range(FREE):
        await refused(desk, made.secret, "wrong")
    waits = []
    for _ in range(12):
        with pytest.raises(TooManyAttempts) as told:
            await desk.sessions.redeem(made.secret, PASSWORD, ORIGIN)
        waits.append(told.value.retry_after or 0)
        hands.passes(seconds=waits[-1])
        await refused(desk, made.secret, "wrong")
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]
    assert len(await house.record("link.throttled")) == 12
    hands.passes(minutes=15)
    await desk.session(made, PASSWORD)
    assert (await desk.link_row())["failures"] == 0
    await refused(desk, made.secret, "wrong")  # forgotten: no waiting


async def test_a_token_ends_after_fifteen_minutes_and_never_outlasts_its_link(
    desk: Desk, lead: Principal, hands: Clock
) -> None:
    made = await desk.upload_link(lead)
    redeemed = await desk.sessions.redeem(made.secret, None, ORIGIN)
    hands.passes(seconds=LIFETIME.total_seconds() - 5)
    session = await desk.sessions.session(redeemed.token)
    hands.passes(seconds=6)
    with pytest.raises(NotSignedIn):
        await desk.sessions.session(redeemed.token)
    async with desk.house.database.read() as connection:  # what was begun in time goes on
        assert await desk.sessions.reauthenticate(connection, session.principal) == session.principal
    hands.passes(hours=23, minutes=40)
    late = await desk.sessions.redeem(made.secret, None, ORIGIN)
    assert late.expires_at == made.link.expires_at
    hands.passes(days=1, minutes=6)
    async with desk.house.database.read() as connection:
        with pytest.raises(NotSignedIn):
            await desk.sessions.reauthenticate(connection, session.principal)


async def test_what_is_no_token_is_refused(desk: Desk) -> None:
    for token in ("", "prs_", "prs_nonsense", "a.b.c", SESSION_TOKEN.new(), LINK_TOKEN.new()):
        with pytest.raises(NotSignedIn):
            await desk.sessions.session(token)


async def test_the_secret_is_no_token(desk: Desk, lead: Principal) -> None:
    made = await desk.upload_link(lead)
    assert not desk.sessions.claims(made.secret)
    with pytest.raises(NotSignedIn):
        await desk.sessions.session(made.secret)


Kill = Callable[[Desk, Principal, Principal, CreatedLink], Awaitable[None]]


async def revoked(desk: Desk, _: Principal, maker: Principal, made: CreatedLink) -> None:
    await desk.links.revoke(maker, made.link.id, ORIGIN)


async def disabled(desk: Desk, _: Principal, maker: Principal, __: CreatedLink) -> None:
    await desk.house.execute("UPDATE users SET disabled_at = created_at WHERE name = :n", n=await named(desk, maker))


async def demoted(desk: Desk, _: Principal, maker: Principal, __: CreatedLink) -> None:
    await desk.house.execute("UPDATE users SET role = 'auditor' WHERE name = :n", n=await named(desk, maker))


async def removed(desk: Desk, lead: Principal, maker: Principal, made: CreatedLink) -> None:
    await desk.members.remove(lead, made.link.case_id or maker.user_id, maker.user_id, ORIGIN)


async def made_a_reader(desk: Desk, lead: Principal, maker: Principal, made: CreatedLink) -> None:
    await desk.members.set_role(lead, made.link.case_id or maker.user_id, maker.user_id, CaseRole.READER, ORIGIN)


async def reddened(desk: Desk, lead: Principal, _: Principal, made: CreatedLink) -> None:
    await desk.change(lead, made.link.case_id or lead.user_id, tlp=Tlp.RED)


async def closed(desk: Desk, lead: Principal, _: Principal, made: CreatedLink) -> None:
    await desk.change(lead, made.link.case_id or lead.user_id, status=CaseStatus.CLOSED)


async def deleted(desk: Desk, lead: Principal, _: Principal, made: CreatedLink) -> None:
    await desk.register.delete(lead, made.link.case_id or lead.user_id, None, ORIGIN)


async def named(desk: Desk, who: Principal) -> str:
    rows = await desk.house.rows("users")
    (name,) = [row["name"] for row in rows if str(row["id"]).replace("-", "") == who.user_id.hex]
    return str(name)


@pytest.mark.parametrize(
    "kill", [revoked, disabled, demoted, removed, made_a_reader, reddened, closed, deleted], ids=lambda f: f.__name__
)
@pytest.mark.parametrize("kind", ["case", "upload"])
async def test_a_link_dies_with_the_right_that_it_was_made_by(
    desk: Desk, house: House, lead: Principal, kill: Kill, kind: str
) -> None:
    case_id = await desk.case(lead)
    maker = await house.principal()
    await desk.joins(lead, case_id, maker, CaseRole.LEAD)
    made = await (desk.case_link if kind == "case" else desk.upload_link)(maker, case_id)
    redeemed = await desk.sessions.redeem(made.secret, None, ORIGIN)
    session = await desk.sessions.session(redeemed.token)
    await kill(desk, lead, maker, made)
    if (kill, kind) == (reddened, "upload"):  # nothing leaves by it, and its maker leads the case
        await desk.send(await desk.sessions.session(redeemed.token))
        await desk.members.set_role(lead, case_id, maker.user_id, CaseRole.CONTRIBUTOR, ORIGIN)
    with pytest.raises(NotSignedIn):
        await desk.sessions.session(redeemed.token)
    async with house.database.read() as connection:
        with pytest.raises(NotSignedIn):
            await desk.sessions.reauthenticate(connection, session.principal)
    await refused(desk, made.secret)


async def test_a_link_lives_again_when_the_case_does(desk: Desk, lead: Principal) -> None:
    case_id = await desk.case(lead)
    made = await desk.upload_link(lead, case_id)
    await desk.change(lead, case_id, status=CaseStatus.CLOSED)
    await refused(desk, made.secret)
    await desk.change(lead, case_id, status=CaseStatus.OPEN)
    await desk.session(made)


async def test_sessions_are_swept_when_over_and_links_long_after(
    desk: Desk, house: House, lead: Principal, hands: Clock
) -> None:
    file = await house.hand_in(lead)
    made = await desk.download_link(lead, file.id)
    session = await desk.session(made)
    await desk.fetch(session, file.id)
    await desk.sessions.sweep()
    assert [len(await house.rows(t)) for t in ("links", "link_files", "link_sessions", "link_uses")] == [1] * 4
    hands.passes(days=1, minutes=16)
    await desk.sessions.sweep()
    assert [len(await house.rows(t)) for t in ("links", "link_sessions", "link_uses")] == [1, 0, 1]
    hands.passes(days=92)
    await desk.sessions.sweep()
    assert [len(await house.rows(t)) for t in ("links", "link_files", "link_uses")] == [0, 0, 0]
    assert await house.record("link.created")


async def test_an_edited_word_opens_nothing(desk: Desk, house: House, lead: Principal) -> None:
    made = await desk.upload_link(lead)
    redeemed = await desk.sessions.redeem(made.secret, None, ORIGIN)
    await house.execute("UPDATE links SET kind = 'everything'")
    with pytest.raises(PortalError):
        await desk.sessions.session(redeemed.token)
    assert clock.now() < made.link.expires_at
