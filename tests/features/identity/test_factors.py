"""Authenticators on both databases: a code is asked for, counts once, and nothing else gets in."""

import asyncio
from typing import Any

import pyotp
import pytest
from sqlalchemy import func, select, update

from portal.core.principal import NOWHERE, Origin, Principal, Role
from portal.core.secrets import Secret
from portal.db.unit_of_work import Database
from portal.features.identity.accounts import Accounts, UserChanges
from portal.features.identity.factors import RECOVERY_CODES, AlreadyEnrolled, Factors, NotEnrolled
from portal.features.identity.grant_errors import InvalidGrant, TotpRequired
from portal.features.identity.models import RecoveryCodeRow, SecondFactorRow
from portal.features.identity.own_account import OwnAccount
from portal.features.identity.passwords import PasswordHasher
from portal.features.identity.registration import Registration
from portal.features.identity.repository import User
from portal.features.identity.revocation import Revocations
from portal.features.identity.sessions import Sessions, TotpEnrolmentRequired
from portal.features.identity.throttle import FREE_HERE, TooManyAttempts
from portal.features.identity.users import Users
from tests.reliability.amounts import amount

from .conftest import KEYS
from .stage import EVERYTHING, PASSWORD, Clock, at_once, lives, make, record, signed_in

HERE = Origin("request-1", "192.0.2.7")
CLI = "system:cli/test"
STEP = 30


class Phone:
    """What a user holds: an authenticator, and a sheet of recovery codes."""

    def __init__(self, secret: str, codes: list[str], hands: Clock) -> None:
        self._totp, self.codes, self._hands = pyotp.TOTP(secret), codes, hands
        self.secret = secret

    def code(self, steps: int = 0) -> str:
        return self._totp.generate_otp(int(self._hands.now.timestamp()) // STEP + steps)


@pytest.fixture
def hands(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
async def ada(users: Users) -> User:
    return await make(users, "Ada")


@pytest.fixture
async def phone(ada: User, owner: OwnAccount, sessions: Sessions, hands: Clock) -> Phone:
    return await enrolled(owner, await signed_in(sessions, ada.name), hands)


async def enrolled(owner: OwnAccount, principal: Principal, hands: Clock) -> Phone:
    secret = (await owner.enrol_totp(principal, PASSWORD, HERE)).secret
    phone = Phone(secret, [], hands)
    phone.codes = await owner.confirm_totp(principal, PASSWORD, phone.code(), HERE)
    hands.move(seconds=STEP)  # the code that confirmed counts no more
    return phone


async def sign_in(sessions: Sessions, code: str | None, password: str = PASSWORD, origin: Origin = HERE) -> str:
    return (await sessions.sign_in("Ada", password, origin, code)).scope


async def refused(sessions: Sessions, code: str | None) -> bool:
    try:
        await sign_in(sessions, code)
    except InvalidGrant:
        return True
    return False


async def test_an_enrolment_counts_for_nothing_until_it_is_confirmed(
    ada: User, owner: OwnAccount, sessions: Sessions, users: Users, hands: Clock
) -> None:
    principal = await signed_in(sessions, ada.name)
    made = await owner.enrol_totp(principal, PASSWORD, HERE)
    assert await sign_in(sessions, None) == EVERYTHING
    again = await owner.enrol_totp(principal, PASSWORD, HERE)
    assert again.secret != made.secret
    with pytest.raises(InvalidGrant):
        await owner.confirm_totp(principal, PASSWORD, Phone(made.secret, [], hands).code(), HERE)
    assert (await users.get(ada.id)).totp_since is None
    codes = await owner.confirm_totp(principal, PASSWORD, Phone(again.secret, [], hands).code(), HERE)
    assert len(set(codes)) == RECOVERY_CODES == 10
    assert (await users.get(ada.id)).totp_since == hands.now


async def test_an_enrolment_is_what_an_authenticator_scans_and_shows_itself_in_no_repr(
    ada: User, owner: OwnAccount, sessions: Sessions
) -> None:
    made = await owner.enrol_totp(await signed_in(sessions, ada.name), PASSWORD, HERE)
    parsed = pyotp.parse_uri(made.uri)
    assert isinstance(parsed, pyotp.TOTP)
    assert (parsed.secret, parsed.name, parsed.issuer) == (made.secret, "Ada", "portal")
    assert (parsed.digits, parsed.interval, len(made.secret)) == (6, 30, 32)
    assert made.secret not in repr(made)


async def test_a_session_alone_enrols_confirms_and_removes_nothing(
    phone: Phone, owner: OwnAccount, sessions: Sessions, users: Users
) -> None:
    eve = await make(users, "Eve")
    thief = await signed_in(sessions, eve.name)
    for attempt in (
        owner.enrol_totp(thief, "a wrong password", HERE),
        owner.confirm_totp(thief, "a wrong password", "123456", HERE),
        owner.remove_totp(thief, "a wrong password", phone.code(), HERE),
        owner.change_password(thief, "a wrong password", None, "paper boat in winter", HERE),
    ):
        with pytest.raises(InvalidGrant):
            await attempt
    assert await users.get(eve.id) == eve


async def test_once_confirmed_a_code_is_asked_for(phone: Phone, sessions: Sessions, database: Database) -> None:
    for missing in (None, ""):
        with pytest.raises(TotpRequired) as asked:
            await sign_in(sessions, missing)
        assert (asked.value.status, asked.value.code) == (400, "totp_required")
    assert await sign_in(sessions, phone.code()) == EVERYTHING
    told = [event.details for event in await record(database, "auth.sign_in_failed")]
    assert told == [{"grant": "password", "name": "Ada", "factor": "missing"}] * 2


async def test_a_wrong_password_hears_nothing_of_the_code(phone: Phone, sessions: Sessions) -> None:
    for code in (None, phone.code()):
        with pytest.raises(InvalidGrant) as asked:
            await sign_in(sessions, code, "a wrong password")
        assert type(asked.value) is InvalidGrant
    assert await sign_in(sessions, phone.code()) == EVERYTHING  # nor has it used the code up


@pytest.mark.parametrize("steps", [-1, 0, 1])
async def test_a_code_next_to_now_will_do_once(phone: Phone, sessions: Sessions, hands: Clock, steps: int) -> None:
    hands.move(seconds=3 * STEP)
    code = phone.code(steps)
    assert await sign_in(sessions, code) == EVERYTHING
    assert await refused(sessions, code)
    hands.move(seconds=STEP)
    assert await refused(sessions, code)


@pytest.mark.parametrize("steps", [-2, 2, -100, 100])
async def test_a_code_further_away_will_not(phone: Phone, sessions: Sessions, hands: Clock, steps: int) -> None:
    hands.move(seconds=200 * STEP)
    assert await refused(sessions, phone.code(steps))


async def test_a_code_older_than_one_that_was_taken_will_not_do(phone: Phone, sessions: Sessions, hands: Clock) -> None:
    hands.move(seconds=3 * STEP)
    assert await sign_in(sessions, phone.code()) == EVERYTHING
    assert await refused(sessions, phone.code(-1))


async def test_the_code_that_confirmed_is_used_up(
    ada: User, owner: OwnAccount, sessions: Sessions, hands: Clock
) -> None:
    phone = await enrolled(owner, await signed_in(sessions, ada.name), hands)
    hands.move(seconds=-STEP)
    assert await refused(sessions, phone.code())


NO_CODES = [
    "0",
    "000000000000",
    "\uff11\uff12\uff13\uff14\uff15\uff16",
    "\0",
    "\ud800",
    "abcdef",
    "-" * 23,
    "x" * 5000,
    "' OR 1=1",
]


async def test_what_is_no_code_is_a_wrong_one(phone: Phone, sessions: Sessions) -> None:
    for number, code in enumerate(NO_CODES):
        with pytest.raises(InvalidGrant) as told:
            await sessions.sign_in("Ada", PASSWORD, Origin(None, f"192.0.2.{number}"), code)
        assert type(told.value) is InvalidGrant
    assert await sign_in(sessions, phone.code()) == EVERYTHING


async def test_a_code_with_a_gap_is_the_code(phone: Phone, sessions: Sessions) -> None:
    code = phone.code()
    assert await sign_in(sessions, f" {code[:3]} {code[3:]} ") == EVERYTHING


@pytest.mark.race
async def test_of_many_who_use_one_code_at_once_one_gets_in_in_every_race(
    phone: Phone, sessions: Sessions, factors: Factors, database: Database, ada: User, users: Users, hands: Clock
) -> None:
    assert ada.name == "Ada"
    user = await users.get(ada.id)

    async def take(code: str) -> bool:
        try:
            async with database.write() as connection:
                await factors.require(connection, user, code, HERE)
        except InvalidGrant:
            return False
        return True

    for _ in range(amount("RACES")):
        hands.move(seconds=STEP)
        assert sorted(await asyncio.gather(*(take(phone.code()) for _ in range(3)))) == [False, False, True]
    hands.move(seconds=STEP)
    done, wrong = await at_once([sign_in(sessions, phone.code()) for _ in range(FREE_HERE)])
    assert (len(done), {type(error) for error in wrong}) == (1, {InvalidGrant})


async def test_a_recovery_code_is_good_once_however_it_is_typed(
    phone: Phone, sessions: Sessions, database: Database, ada: User
) -> None:
    one, two = phone.codes[:2]
    assert await sign_in(sessions, one) == EVERYTHING
    assert await sign_in(sessions, f" {two.upper().replace('-', ' ')} ") == EVERYTHING
    for used in (one, two):
        assert await refused(sessions, used)
    told = await record(database, "auth.recovery_code_used")
    assert [event.details for event in told] == [{"left": 9}, {"left": 8}]
    assert {(event.actor, event.subject) for event in told} == {(f"user:{ada.id}", str(ada.id))}


async def test_of_many_who_use_one_recovery_code_at_once_one_gets_in(phone: Phone, sessions: Sessions) -> None:
    for number, code in enumerate(phone.codes[:5]):
        here = Origin(None, f"192.0.2.{number}")
        done, wrong = await at_once([sign_in(sessions, code, origin=here) for _ in range(3)])
        assert (len(done), {type(error) for error in wrong}) == (1, {InvalidGrant})
    with pytest.raises(TotpRequired):
        await sign_in(sessions, None)


async def test_the_codes_of_one_are_no_codes_of_another(
    phone: Phone, owner: OwnAccount, sessions: Sessions, users: Users, hands: Clock
) -> None:
    await make(users, "Eve")
    hers = await enrolled(owner, await signed_in(sessions, "Eve"), hands)
    for code in (hers.code(), hers.codes[0]):
        assert await refused(sessions, code)
    assert await sign_in(sessions, phone.code()) == EVERYTHING


async def test_guesses_at_the_code_are_slowed_down_like_guesses_at_the_password(
    phone: Phone, sessions: Sessions
) -> None:
    guesses = [f"{(int(phone.code()) + number) % 1_000_000:06}" for number in range(1000, 1000 + FREE_HERE)]
    assert [await refused(sessions, guess) for guess in guesses] == [True] * FREE_HERE
    with pytest.raises(TooManyAttempts):
        await sign_in(sessions, phone.code())


async def test_who_is_asked_for_a_code_is_charged_nothing(phone: Phone, sessions: Sessions) -> None:
    for _ in range(FREE_HERE * 2):
        with pytest.raises(TotpRequired):
            await sign_in(sessions, None)
    assert await sign_in(sessions, phone.code()) == EVERYTHING


async def test_a_refresh_asks_for_no_code(phone: Phone, sessions: Sessions) -> None:
    pair = await sessions.sign_in("Ada", PASSWORD, HERE, phone.code())
    assert (await sessions.refresh(pair.refresh_token, HERE)).scope == EVERYTHING


async def test_nothing_of_a_secret_or_a_code_is_kept_in_clear_or_on_record(
    phone: Phone, sessions: Sessions, database: Database
) -> None:
    used = phone.code()
    await sign_in(sessions, used)
    await sign_in(sessions, phone.codes[0])
    async with database.read() as connection:
        rows = [
            tuple(row)
            for table in (SecondFactorRow, RecoveryCodeRow)
            for row in await connection.execute(select(table))
        ]
    told = str(rows) + " ".join(
        [
            event.canonical()
            for event in await record(database, "auth.sign_in", "user.totp_confirmed", "auth.recovery_code_used")
        ]
    )
    assert len(rows) == 10
    for secret in (phone.secret, *phone.codes):
        assert secret not in told
        assert secret.replace("-", "") not in told
    assert f'"{used}"' not in told


async def test_an_authenticator_is_removed_with_the_password_and_a_code_alone(
    phone: Phone, owner: OwnAccount, sessions: Sessions, database: Database, hands: Clock
) -> None:
    principal = await sessions.resolve((await sessions.sign_in("Ada", PASSWORD, HERE, phone.code())).access_token)
    hands.move(seconds=STEP)
    for password, code in ((PASSWORD, "000000"), ("a wrong password", phone.code()), (PASSWORD, "")):
        with pytest.raises(InvalidGrant):
            await owner.remove_totp(principal, password, code, HERE)
    with pytest.raises(AlreadyEnrolled):
        await owner.enrol_totp(principal, PASSWORD, HERE)
    await owner.remove_totp(principal, PASSWORD, phone.code(), HERE)
    assert await sign_in(sessions, None) == EVERYTHING
    async with database.read() as connection:
        for table in (SecondFactorRow, RecoveryCodeRow):
            assert (await connection.execute(select(func.count()).select_from(table))).scalar_one() == 0
    with pytest.raises(NotEnrolled):
        await owner.remove_totp(principal, PASSWORD, phone.code(), HERE)
    assert [event.actor for event in await record(database, "user.totp_removed")] == [principal.actor]


async def test_an_administrator_removes_a_lost_authenticator_which_ends_the_sessions(
    phone: Phone, accounts: Accounts, sessions: Sessions, database: Database, ada: User
) -> None:
    theirs = await sessions.resolve((await sessions.sign_in("Ada", PASSWORD, HERE, phone.code())).access_token)
    await accounts.reset_totp(CLI, ada.id, HERE)
    assert not await lives(sessions, database, theirs)
    assert await sign_in(sessions, None) == EVERYTHING
    with pytest.raises(NotEnrolled):
        await accounts.reset_totp(CLI, ada.id, HERE)


async def test_a_reset_password_goes_around_no_authenticator(
    phone: Phone, accounts: Accounts, sessions: Sessions, ada: User, database: Database, hasher: PasswordHasher
) -> None:
    secret = await accounts.reset_password(CLI, ada.id, HERE)
    assert await refused(sessions, phone.code())
    await Registration(database, hasher, "closed", Revocations()).set_password(secret.secret, PASSWORD, HERE)
    with pytest.raises(TotpRequired):
        await sign_in(sessions, None)
    assert await sign_in(sessions, phone.code()) == EVERYTHING


async def test_nobody_enrols_a_second_authenticator_or_confirms_none(
    ada: User, owner: OwnAccount, sessions: Sessions, factors: Factors, database: Database, hands: Clock
) -> None:
    principal = await signed_in(sessions, ada.name)
    for _ in range(2 * FREE_HERE):  # the password was right: nobody has to wait
        with pytest.raises(NotEnrolled):
            await owner.confirm_totp(principal, PASSWORD, "123456", HERE)
    phone = await enrolled(owner, principal, hands)
    user = await owner._user(principal)
    async with database.write() as connection:
        with pytest.raises(AlreadyEnrolled):
            await factors.enrol(connection, user)
        with pytest.raises(AlreadyEnrolled):
            await factors.confirm(connection, user, phone.code())


async def test_a_secret_opens_under_older_keys_is_sealed_again_under_the_newest_and_for_its_own_user_alone(
    phone: Phone, database: Database, ada: User, users: Users, hands: Clock
) -> None:
    newer = Secret(b"n" * 32)
    user = await users.get(ada.id)

    async def takes(factors: Factors) -> bool:
        hands.move(seconds=STEP)
        try:
            async with database.write() as connection:
                await factors.require(connection, user, phone.code(), HERE)
        except InvalidGrant:
            return False
        return True

    assert not await takes(Factors([newer]))
    assert await takes(Factors([newer, *KEYS]))
    assert await takes(Factors([newer]))
    eve = await make(users, "Eve")
    rows: Any = SecondFactorRow
    async with database.write() as connection:
        await connection.execute(update(SecondFactorRow).where(rows.user_id == ada.id).values(user_id=eve.id))
    user = eve
    user = await users.get(eve.id)
    object.__setattr__(user, "totp_since", hands.now)
    assert not await takes(Factors([newer]))


@pytest.fixture
def strict(sessions: Sessions) -> Sessions:
    """Administrators need an authenticator."""
    sessions._require_admin_totp = True
    return sessions


async def test_an_administrator_without_an_authenticator_can_only_enrol_where_one_is_required(
    users: Users, strict: Sessions, owner: OwnAccount, accounts: Accounts, hands: Clock, database: Database
) -> None:
    await make(users, "root", Role.ADMIN)
    pair = await strict.sign_in("root", PASSWORD, HERE)
    with pytest.raises(TotpEnrolmentRequired):
        await strict.resolve(pair.access_token)
    half = await strict.resolve_to_enrol(pair.access_token)
    async with database.read() as connection:
        with pytest.raises(TotpEnrolmentRequired):
            await strict.require_live(connection, half.credential_id)
    with pytest.raises(TotpEnrolmentRequired):
        await accounts.change(half, half.user_id, None, UserChanges(), HERE)
    phone = await enrolled(owner, half, hands)
    assert await strict.resolve(pair.access_token) == half
    assert (await strict.sign_in("root", PASSWORD, HERE, phone.code())).scope == EVERYTHING


async def test_nobody_else_is_asked_to_enrol(users: Users, strict: Sessions) -> None:
    for role in (Role.ANALYST, Role.UPLOADER, Role.AUDITOR):
        await make(users, role.value, role)
        assert (await signed_in(strict, role.value)).role is role


async def test_who_is_made_an_administrator_has_to_enrol(strict: Sessions, accounts: Accounts, ada: User) -> None:
    await accounts.change(CLI, ada.id, None, UserChanges(role=Role.ADMIN), NOWHERE)
    pair = await strict.sign_in("Ada", PASSWORD, HERE)
    with pytest.raises(TotpEnrolmentRequired):
        await strict.resolve(pair.access_token)
