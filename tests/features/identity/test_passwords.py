"""Passwords: what is acceptable, what is equal, and how much work may be going on at once."""

import asyncio
import threading
import unicodedata
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from zxcvbn import frequency_lists

from portal.core import tasks
from portal.core.errors import Unavailable, Unprocessable
from portal.core.ids import new_id
from portal.features.identity import password_strength, passwords
from portal.features.identity.hashing_queue import QueueShare
from portal.features.identity.password_strength import COMMON, is_guessable
from portal.features.identity.passwords import MAX_BYTES, MIN_CHARACTERS, PasswordGuessable, PasswordHasher

from .counting import Context

PASSWORD = "correct horse battery"
TOO_SHORT = ["", "x", "short", "x" * 11, "é" * 11, "e\u0301" * 11, "\U0001f600" * 11]
TOO_LONG = ["x" * 1_025, "é" * 513, "\U0001f600" * 257, "x" * 1_000_000]
HARD = "9kTq#Vw2!zRm"  # twelve characters that nobody guesses
JUST_RIGHT = [
    HARD,
    HARD + "x" * 52,
    HARD + "x" * 116,
    HARD + "x" * 1_012,
    HARD + "é" * 506,
    HARD + "e\u0301" * 506,
    HARD + "\U0001f600" * 253,
    HARD + " " * 12,
    HARD + "\0" * 12,
    "ключ-от-лета",
]


@pytest.mark.parametrize("password", JUST_RIGHT, ids=range(len(JUST_RIGHT)))
async def test_12_characters_to_1024_bytes_will_do(hasher: PasswordHasher, password: str) -> None:
    known = await hasher.hash(password)
    assert await hasher.verify(password, known)
    assert not await hasher.verify(password[:-1], known)


@pytest.mark.parametrize("password", [*TOO_SHORT, *TOO_LONG], ids=range(len(TOO_SHORT) + len(TOO_LONG)))
async def test_anything_shorter_or_longer_will_not(hasher: PasswordHasher, password: str) -> None:
    with pytest.raises(Unprocessable):
        await hasher.hash(password)


@pytest.mark.parametrize("password", TOO_SHORT, ids=range(len(TOO_SHORT)))
async def test_a_password_too_short_to_choose_is_only_wrong(hasher: PasswordHasher, password: str) -> None:
    assert not await hasher.verify(password, await hasher.hash(PASSWORD))


GUESSED_FIRST = [
    "password1234",
    "Password1234!",
    "qwertyuiop12",
    "1qaz2wsx3edc4rfv",
    "123456789012",
    "aaaaaaaaaaaa",
    "letmeinletmein",
    "P@ssw0rdP@ssw0rd",
    "internationalization",
    "gfhjkmgfhjkm",
    "abc123456789",
    "x" * 1_024,
    " " * 12,
    "\0" * 12,
]


@pytest.mark.parametrize("password", GUESSED_FIRST, ids=range(len(GUESSED_FIRST)))
async def test_what_is_guessed_first_will_not_do_and_no_hash_is_made_of_it(
    hasher: PasswordHasher, context: Context, password: str
) -> None:
    with pytest.raises(PasswordGuessable) as refused:
        await hasher.hash(password)
    assert (refused.value.status, refused.value.code) == (422, "password_guessable")
    assert password not in str(refused.value)
    assert context.calls == {}


def test_the_common_passwords_that_are_long_enough_will_not_do() -> None:
    common = [password for password in frequency_lists.FREQUENCY_LISTS["passwords"] if len(password) >= 12]
    assert len(common) > 200
    assert [password for password in common if not is_guessable(password)] == []


@pytest.mark.parametrize("password", ["Grüße-an-Onkel-Willi", "grüsse-an-onkel-WILLI", "Grüße-an-Onkel-Willi".upper()])
async def test_ones_own_name_will_not_do(hasher: PasswordHasher, context: Context, password: str) -> None:
    with pytest.raises(PasswordGuessable):
        await hasher.hash(password, name="grüße-an-onkel-willi")
    assert context.calls == {}
    assert await hasher.hash(password, name="somebody-else")


@pytest.mark.parametrize(
    "password",
    [
        "lower case words alone",
        "UPPER CASE WORDS ALONE",
        "correct horse battery",
        "8302 5521 9174 0638",
        "日本語の長い合言葉です良い",
    ],
)
async def test_nobody_is_told_which_letters_to_use(hasher: PasswordHasher, password: str) -> None:
    assert await hasher.verify(password, await hasher.hash(password))


def test_a_hash_names_its_cost() -> None:
    settings_of: Any = PasswordHasher()._context.to_dict()
    cost = {name.removeprefix("argon2__"): value for name, value in settings_of.items()}
    assert (cost["type"], cost["memory_cost"], cost["time_cost"], cost["parallelism"]) == ("ID", 65_536, 3, 4)


async def test_a_hash_is_argon2id_and_salted(hasher: PasswordHasher) -> None:
    one, two = await hasher.hash(PASSWORD), await hasher.hash(PASSWORD)
    assert one.startswith("$argon2id$v=19$m=8,t=1,p=1$")
    assert one != two
    assert PASSWORD not in one
    assert len(one) <= 256
    assert await hasher.verify(PASSWORD, one)
    assert await hasher.verify(PASSWORD, two)


async def test_a_hash_of_another_cost_still_verifies(hasher: PasswordHasher) -> None:
    known = await PasswordHasher(memory_kib=16, passes=2, lanes=1).hash(PASSWORD)
    assert await hasher.verify(PASSWORD, known)
    assert not await hasher.verify(PASSWORD + "!", known)


TWINS = {
    "a 72nd and a 73rd byte": (HARD + "x" * 60, HARD + "x" * 61),
    "a 73rd byte": (HARD + "x" * 60 + "a", HARD + "x" * 60 + "b"),
    "the last of 1,024 bytes": (HARD + "x" * 1_011 + "a", HARD + "x" * 1_011 + "b"),
    "after a NUL": (HARD + "\0a", HARD + "\0b"),
    "a NUL at the end": (HARD, HARD + "\0"),
    "after a leading NUL": ("\0" + HARD + "x", "\0" + HARD + "y"),
    "case": (HARD, HARD.swapcase()),
    "a space at the end": (HARD, HARD + " "),
    "a ligature": ("of\N{LATIN SMALL LIGATURE FI}ce" + HARD, "office" + HARD),
    "another alphabet's letter": (HARD + "a", HARD + "\N{CYRILLIC SMALL LETTER A}"),
}


@pytest.mark.parametrize(("one", "two"), TWINS.values(), ids=list(TWINS))
async def test_twins_differ(hasher: PasswordHasher, one: str, two: str) -> None:
    assert not await hasher.verify(two, await hasher.hash(one))
    assert not await hasher.verify(one, await hasher.hash(two))


SPELLINGS = ["café crème brûlée", "\N{ANGSTROM SIGN}ngstr\N{OHM SIGN}m-units", "한국어 비밀번호 열두 글자"]


@pytest.mark.parametrize("password", SPELLINGS)
async def test_one_password_typed_on_two_keyboards_is_the_same(hasher: PasswordHasher, password: str) -> None:
    composed, decomposed = (unicodedata.normalize(form, password) for form in ("NFC", "NFD"))
    assert composed != decomposed
    assert await hasher.verify(decomposed, await hasher.hash(composed))
    assert await hasher.verify(composed, await hasher.hash(decomposed))


@pytest.mark.parametrize("password", ["x" * 12 + "\ud800", "\udfff" * 12, "\ud83d" + "x" * 12])
async def test_a_lone_surrogate_is_not_acceptable(hasher: PasswordHasher, password: str) -> None:
    known = await hasher.hash(PASSWORD)
    with pytest.raises(Unprocessable):
        await hasher.hash(password)
    for against in (known, None):
        with pytest.raises(Unprocessable):
            await hasher.verify(password, against)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(end=st.text(max_size=40), other_end=st.text(max_size=40))
async def test_any_text_verifies_itself_and_no_other(hasher: PasswordHasher, end: str, other_end: str) -> None:
    password, other = HARD + end, HARD + other_end
    same = unicodedata.normalize("NFC", password) == unicodedata.normalize("NFC", other)
    known = await hasher.hash(password)
    assert await hasher.verify(password, known)
    assert await hasher.verify(other, known) == same


@pytest.fixture
async def context(hasher: PasswordHasher) -> AsyncIterator[Context]:
    """Counts from here on; the hash that stands for unknown users is made."""
    await hasher.verify(PASSWORD, None)
    counting: Any = Context(hasher._context)
    hasher._context = counting
    yield counting
    counting.gate.set()


async def test_an_unknown_user_costs_exactly_what_a_wrong_password_costs(
    hasher: PasswordHasher, context: Context
) -> None:
    known = await hasher.hash(PASSWORD)
    context.calls.clear()
    assert not await hasher.verify("wrong password", known)
    wrong = context.calls.copy()
    context.calls.clear()
    assert not await hasher.verify("wrong password", None)
    assert context.calls == wrong == {"verify": 1}


@pytest.mark.parametrize("known", [True, False])
async def test_the_first_sign_in_of_a_process_costs_the_same_for_everybody(*, known: bool) -> None:
    hasher = PasswordHasher(memory_kib=8, passes=1, lanes=1)
    stored = await hasher.hash(PASSWORD)
    counting: Any = Context(hasher._context)
    hasher._context = counting
    await hasher.verify(PASSWORD, stored if known else None)
    assert counting.calls == {"hash": 1, "verify": 1}


@pytest.mark.parametrize("password", ["nobody's password", PASSWORD, ""])
async def test_no_password_is_right_for_nobody(hasher: PasswordHasher, password: str) -> None:
    assert not await hasher.verify(password, None)


@pytest.mark.parametrize("password", TOO_LONG, ids=range(len(TOO_LONG)))
async def test_a_password_that_is_too_long_costs_no_work(
    hasher: PasswordHasher, context: Context, password: str
) -> None:
    for work in (hasher.hash(password), hasher.verify(password, None)):
        with pytest.raises(Unprocessable):
            await work
    assert context.calls == {}


@pytest.fixture
async def known(hasher: PasswordHasher, context: Context) -> str:
    made = await hasher.hash(PASSWORD)
    context.calls.clear()
    context.gate.clear()
    return made


async def test_never_more_than_two_at_once(hasher: PasswordHasher, context: Context, known: str) -> None:
    sign_ins = [asyncio.create_task(hasher.verify(PASSWORD, known)) for _ in range(12)]
    await context.is_busy()
    for _ in range(100):
        await asyncio.sleep(0)
    assert context.inside == 2
    context.gate.set()
    assert await asyncio.gather(*sign_ins) == [True] * 12
    assert context.most_inside == 2
    assert context.calls == {"verify": 12}


async def refused_at_once(work: Coroutine[Any, Any, object]) -> bool:
    task = asyncio.create_task(work)
    await asyncio.sleep(0)
    done = task.done()
    task.cancel()
    (result,) = await asyncio.gather(task, return_exceptions=True)
    return done and isinstance(result, Unavailable)


async def test_over_32_at_a_time_the_rest_are_told_to_come_again(
    hasher: PasswordHasher, context: Context, known: str
) -> None:
    sign_ins = [asyncio.create_task(hasher.verify(PASSWORD, known)) for _ in range(32)]
    await context.is_busy()
    assert await refused_at_once(hasher.verify(PASSWORD, known))
    assert await refused_at_once(hasher.verify(PASSWORD, None))
    context.gate.set()
    assert await asyncio.gather(*sign_ins) == [True] * 32
    assert await hasher.verify(PASSWORD, known)


async def test_32_at_a_time_are_not_too_many(hasher: PasswordHasher, context: Context, known: str) -> None:
    sign_ins = [asyncio.create_task(hasher.verify(PASSWORD, known)) for _ in range(31)]
    await context.is_busy()
    assert not await refused_at_once(hasher.verify(PASSWORD, known))
    context.gate.set()
    assert await asyncio.gather(*sign_ins) == [True] * 31


async def test_one_that_stops_waiting_gives_its_place_to_another(
    hasher: PasswordHasher, context: Context, known: str
) -> None:
    sign_ins = [asyncio.create_task(hasher.verify(PASSWORD, known)) for _ in range(32)]
    await context.is_busy()
    sign_ins[-1].cancel()
    await asyncio.gather(sign_ins.pop(), return_exceptions=True)
    another = asyncio.create_task(hasher.verify(PASSWORD, known))
    await asyncio.sleep(0)
    context.gate.set()
    assert await asyncio.gather(*sign_ins, another) == [True] * 32


async def test_who_stops_waiting_for_work_that_has_begun_keeps_its_place_until_the_work_ends(
    hasher: PasswordHasher, context: Context, known: str
) -> None:
    left = [asyncio.create_task(hasher.verify(PASSWORD, known)) for _ in range(2)]
    await context.is_busy()
    for task in left:
        task.cancel()
    assert all(
        isinstance(result, asyncio.CancelledError) for result in await asyncio.gather(*left, return_exceptions=True)
    )
    sign_ins = [asyncio.create_task(hasher.verify(PASSWORD, known)) for _ in range(30)]
    for _ in range(100):
        await asyncio.sleep(0)
    assert context.calls == {"verify": 2}
    assert await refused_at_once(hasher.verify(PASSWORD, known))
    context.gate.set()
    assert await asyncio.gather(*sign_ins) == [True] * 30
    assert context.most_inside == 2
    await tasks.drain()
    assert hasher._turns.taken == 0


async def test_work_that_fails_gives_its_place_back(hasher: PasswordHasher, context: Context) -> None:
    for _ in range(40):
        with pytest.raises(Exception, match="hash could not be identified"):
            await hasher.verify(PASSWORD, "not a hash")
    assert context.calls["verify"] == 40
    assert not await hasher.verify(PASSWORD, None)


async def test_the_3000_most_common_passwords_that_fit_the_policy_are_refused(hasher: PasswordHasher) -> None:
    fit = [password for password in COMMON if MIN_CHARACTERS <= len(password) <= MAX_BYTES]
    assert len(fit) >= 3000
    assert [password for password in fit if not is_guessable(password)] == []
    for spelling in ("jesuslovesme", "JesusLovesMe", "ZAQ12WSXCDE3", "\uff5aaq12wsxcde3"):
        with pytest.raises(PasswordGuessable):
            await hasher.hash(spelling)


async def test_what_is_dear_to_judge_keeps_no_sign_in_waiting(
    hasher: PasswordHasher, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, asked, go = await hasher.hash(PASSWORD), threading.Event(), threading.Event()

    def judged(_: str) -> bool:
        asked.set()
        return not go.wait(60)

    monkeypatch.setattr(passwords, "is_guessable", judged)
    uploader = QueueShare.by_account(new_id())
    links = [asyncio.create_task(hasher.hash(HARD, share=uploader)) for _ in range(32)]
    await asyncio.to_thread(asked.wait, 60)
    assert await hasher.verify(PASSWORD, known)
    assert context.calls["hash"] == 1
    go.set()
    assert len(await asyncio.gather(*links)) == 32


def test_no_password_takes_long_to_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def zxcvbn(text: str) -> dict[str, float]:
        seen.append(text)
        return {"guesses": 1e9}

    monkeypatch.setattr(password_strength, "zxcvbn", zxcvbn)
    assert not is_guessable("4@8({[<369&#!1i|0$5+7%2zxv" * 40)
    assert [len(text) for text in seen] == [24]
