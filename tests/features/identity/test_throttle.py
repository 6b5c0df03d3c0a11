"""Guessing is slowed down on both databases, and nobody is locked out by it. The portal's clock is moved by hand."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import select

from portal.core.errors import Unavailable
from portal.core.principal import NOWHERE, Origin
from portal.db.unit_of_work import Database
from portal.features.identity.accounts import Accounts
from portal.features.identity.grant_errors import InvalidGrant
from portal.features.identity.models import KnownAddressRow, ThrottleRow
from portal.features.identity.passwords import PasswordHasher
from portal.features.identity.registration import Registration
from portal.features.identity.repository import User
from portal.features.identity.revocation import Revocations
from portal.features.identity.sessions import Sessions
from portal.features.identity.throttle import FORGOTTEN, FREE_ACCOUNT, FREE_ADDRESS, FREE_HERE, LONGEST, TooManyAttempts
from portal.features.identity.users import Users
from tests.reliability.amounts import amount

from .counting import Context
from .stage import PASSWORD, Clock, at_once, make, record

HOME, OFFICE = Origin("request-1", "192.0.2.7"), Origin("request-2", "192.0.2.8")
WRONG = "a wrong password"


@pytest.fixture
def hands(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
async def ada(users: Users, hands: Clock) -> User:
    assert hands.now.tzinfo is not None
    return await make(users, "Ada")


@pytest.fixture
async def context(hasher: PasswordHasher, ada: User) -> Context:
    """Counts what is judged; the hash that stands for unknown users is made."""
    await hasher.verify(ada.name, None)
    counting = Context(hasher._context)
    hasher._context = counting
    return counting


def stranger(number: int) -> Origin:
    return Origin(None, f"198.51.{number >> 8}.{number & 255}")


async def wait(sessions: Sessions, name: str, origin: Origin, password: str = WRONG) -> int:
    """Seconds that a sign-in is told to wait; 0 where it was judged, and wrong."""
    try:
        await sessions.sign_in(name, password, origin)
    except InvalidGrant:
        return 0
    except TooManyAttempts as refused:
        return refused.retry_after or -1
    raise AssertionError("it was right")


async def gets_in(sessions: Sessions, name: str, origin: Origin) -> bool:
    try:
        await sessions.sign_in(name, PASSWORD, origin)
    except TooManyAttempts:
        return False
    return True


@pytest.mark.parametrize("name", ["Ada", "Eve", "", "a\0b", "x" * 5000, "\ud800"])
async def test_each_failure_doubles_the_wait_for_known_and_unknown_names_alike(
    sessions: Sessions, context: Context, hands: Clock, name: str
) -> None:
    assert [await wait(sessions, name, HOME) for _ in range(FREE_HERE)] == [0] * FREE_HERE
    for exponent in range(12):
        delay = min(1 << exponent, int(LONGEST.total_seconds()))
        judged = context.calls.copy()
        assert await wait(sessions, name, HOME, PASSWORD) == delay
        hands.move(seconds=delay - 0.5)
        assert await wait(sessions, name, HOME) == 1
        assert context.calls == judged  # what is not judged costs no work
        hands.move(seconds=0.5)
        assert await wait(sessions, name, HOME) == 0
    assert context.calls == {"verify": FREE_HERE + 12}


async def test_a_wait_is_told_and_on_record_and_a_failure_no_longer_counts_after_a_day(
    sessions: Sessions, context: Context, hands: Clock, database: Database
) -> None:
    for _ in range(FREE_HERE + 1):
        await wait(sessions, "Ada", HOME)
    (event,) = await record(database, "auth.sign_in_throttled")
    assert (event.actor, event.subject, event.origin) == ("nobody", None, HOME)
    assert event.details == {"name": "Ada", "seconds": 1}
    hands.move(seconds=FORGOTTEN.total_seconds() + 1)
    assert [await wait(sessions, "Ada", HOME) for _ in range(FREE_HERE)] == [0] * FREE_HERE
    assert context.calls == {"verify": 2 * FREE_HERE}


async def test_who_remembers_the_password_begins_anew(sessions: Sessions, ada: User) -> None:
    for _ in range(3):
        for _ in range(FREE_HERE - 1):
            assert await wait(sessions, ada.name, HOME) == 0
        assert await gets_in(sessions, "ADA", HOME)


async def test_a_spelling_of_a_name_is_the_same_name(sessions: Sessions, ada: User) -> None:
    assert ada.name_key == "ada"
    for name in ("ada", "ADA", "\uff21da", "aDa", "adA"):
        assert await wait(sessions, name, HOME) == 0
    assert await wait(sessions, "Ada", HOME) == 1


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [
        ("2001:db8::1", "2001:db8::2:3", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("192.0.2.1", "192.0.2.2", False),
    ],
)
async def test_a_network_of_ipv6_counts_as_one_address(
    sessions: Sessions, ada: User, one: str, two: str, same: bool
) -> None:
    for _ in range(FREE_HERE):
        await wait(sessions, ada.name, Origin(None, one))
    assert (await wait(sessions, ada.name, Origin(None, two)) > 0) is same


async def test_a_crowd_from_everywhere_is_slowed_down_and_the_owner_still_gets_in_from_home(
    sessions: Sessions, context: Context, ada: User
) -> None:
    assert await gets_in(sessions, ada.name, HOME)
    context.calls.clear()
    waits = [await wait(sessions, ada.name, stranger(number)) for number in range(FREE_ACCOUNT + 20)]
    assert waits == [0] * FREE_ACCOUNT + [1] * 20
    assert context.calls == {"verify": FREE_ACCOUNT}
    assert not await gets_in(sessions, ada.name, OFFICE)
    for _ in range(5):
        assert await gets_in(sessions, ada.name, HOME)


async def test_a_crowd_that_guesses_for_days_has_a_guess_every_quarter_of_an_hour(
    sessions: Sessions, context: Context, hands: Clock, ada: User
) -> None:
    assert await gets_in(sessions, ada.name, HOME)
    context.calls.clear()
    for number in range(24 * 12):  # each five minutes
        await wait(sessions, ada.name, stranger(number))
        hands.move(minutes=5)
    assert context.calls["verify"] < FREE_ACCOUNT + 10 + 24 * 4
    assert await gets_in(sessions, ada.name, HOME)


async def test_one_address_that_tries_everybody_is_slowed_down_and_who_is_known_there_still_gets_in(
    sessions: Sessions, context: Context, ada: User, users: Users
) -> None:
    assert await gets_in(sessions, ada.name, HOME)
    await make(users, "newcomer")
    context.calls.clear()
    waits = [await wait(sessions, f"nobody-{number}", HOME) for number in range(FREE_ADDRESS + 20)]
    assert waits == [0] * FREE_ADDRESS + [1] * 20
    assert context.calls == {"verify": FREE_ADDRESS}
    assert await gets_in(sessions, ada.name, HOME)
    assert not await gets_in(sessions, "newcomer", HOME)
    assert await gets_in(sessions, "newcomer", OFFICE)


async def test_somebody_elses_failures_elsewhere_cost_the_owner_nothing_before_the_ceiling(
    sessions: Sessions, ada: User
) -> None:
    for _ in range(FREE_HERE + 5):
        await wait(sessions, ada.name, stranger(1))
    assert await gets_in(sessions, ada.name, HOME)


async def test_signing_in_elsewhere_or_as_somebody_else_resets_nothing(
    sessions: Sessions, ada: User, users: Users
) -> None:
    await make(users, "mallory")
    for _ in range(FREE_HERE):
        await wait(sessions, ada.name, HOME)
    assert await gets_in(sessions, "mallory", HOME)
    assert await gets_in(sessions, ada.name, OFFICE)
    assert await wait(sessions, ada.name, HOME) == 1


async def test_of_fifty_guesses_at_once_only_the_free_ones_are_judged(
    sessions: Sessions, context: Context, ada: User
) -> None:
    done, refused = await at_once([sessions.sign_in(ada.name, f"{WRONG} {n}", HOME) for n in range(50)])
    assert done == []
    kinds = sorted(type(error).__name__ for error in refused)
    assert kinds == ["InvalidGrant"] * FREE_HERE + ["TooManyAttempts"] * (50 - FREE_HERE)
    assert context.calls == {"verify": FREE_HERE}


async def test_of_guesses_from_everywhere_at_once_no_more_than_the_ceiling_are_judged(
    sessions: Sessions, context: Context, ada: User
) -> None:
    done, refused = await at_once([sessions.sign_in(ada.name, WRONG, stranger(n)) for n in range(30)])
    assert done == []
    assert sum(isinstance(error, InvalidGrant) for error in refused) == FREE_ACCOUNT
    assert context.calls == {"verify": FREE_ACCOUNT}


@pytest.mark.race
async def test_right_passwords_at_once_all_get_in_and_leave_no_charge(
    sessions: Sessions, ada: User, database: Database
) -> None:
    for _ in range(amount("RACES")):
        assert (
            await asyncio.gather(*(gets_in(sessions, ada.name, HOME) for _ in range(FREE_HERE))) == [True] * FREE_HERE
        )
    async with database.read() as connection:
        counted = (await connection.execute(select(ThrottleRow))).all()
    assert {row.failures for row in counted} == {0}


async def test_a_portal_that_is_too_busy_to_judge_charges_nothing(
    sessions: Sessions, ada: User, hasher: PasswordHasher
) -> None:
    hasher._turns._taken = 32
    for _ in range(3 * FREE_HERE):
        with pytest.raises(Unavailable):
            await sessions.sign_in(ada.name, PASSWORD, HOME)
    hasher._turns._taken = 0
    assert await gets_in(sessions, ada.name, HOME)


async def test_no_name_and_no_address_can_be_read_from_what_is_counted(
    sessions: Sessions, ada: User, database: Database
) -> None:
    assert await gets_in(sessions, ada.name, HOME)
    await wait(sessions, "a password typed into the name", HOME)
    async with database.read() as connection:
        kept = [
            tuple(row) for table in (ThrottleRow, KnownAddressRow) for row in await connection.execute(select(table))
        ]
    assert len(kept) == 1 + 4  # nothing is counted of who got in here; an address is counted once
    assert not any(word in str(kept) for word in ("ada", "192.0.2", "typed"))


async def test_an_address_is_known_no_more_after_a_reset_or_three_months(
    sessions: Sessions, ada: User, database: Database, hasher: PasswordHasher, accounts: Accounts, hands: Clock
) -> None:
    registration = Registration(database, hasher, "closed", Revocations())

    async def crowd() -> None:
        for number in range(FREE_ACCOUNT + 1):
            await wait(sessions, ada.name, stranger(number))

    assert await gets_in(sessions, ada.name, HOME)
    secret = await accounts.reset_password("system:cli/test", ada.id, NOWHERE)
    await registration.set_password(secret.secret, PASSWORD, NOWHERE)
    await crowd()
    assert not await gets_in(sessions, ada.name, HOME)
    hands.now += FORGOTTEN + timedelta(seconds=1)
    assert await gets_in(sessions, ada.name, HOME)
    await crowd()
    assert await gets_in(sessions, ada.name, HOME)
    hands.move(days=91)
    await accounts.sweep()
    await crowd()
    assert not await gets_in(sessions, ada.name, HOME)
