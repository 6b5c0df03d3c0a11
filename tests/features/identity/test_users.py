"""Accounts on both databases: which names will do, which are the same, and what is on record."""

import asyncio
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select

from portal.core import clock
from portal.core.errors import NotFound, Unprocessable
from portal.core.ids import new_id
from portal.core.principal import Role
from portal.db.unit_of_work import Database
from portal.features.audit.events import Event
from portal.features.audit.models import AuditRow
from portal.features.identity.models import UserRow
from portal.features.identity.names import name_key
from portal.features.identity.users import Users, UserTaken

PASSWORD = "correct horse battery"
audit: Any = AuditRow


async def create(users: Users, name: str, role: Role = Role.ANALYST) -> Any:
    return await users.create(name, role, PASSWORD, actor="system:cli")


async def events(database: Database) -> list[Event]:
    async with database.read() as connection:
        bodies = (await connection.execute(select(audit.body).order_by(audit.seq))).scalars()
        return [Event.from_canonical(body) for body in bodies]


async def count(database: Database) -> int:
    async with database.read() as connection:
        return int((await connection.execute(select(func.count()).select_from(UserRow))).scalar_one())


@pytest.mark.parametrize("role", list(Role))
async def test_an_account_is_kept_as_it_was_made(users: Users, role: Role) -> None:
    made = await create(users, "Ada", role)
    assert (made.name, made.name_key, made.role, made.epoch, made.disabled_at) == ("Ada", "ada", role, 1, None)
    assert made.created_at <= clock.now()
    assert await users.get(made.id) == made


async def test_a_new_account_is_on_record_without_its_password(users: Users, database: Database) -> None:
    made = await create(users, "Ada")
    (event,) = await events(database)
    assert (event.kind, event.actor, event.subject) == ("user.created", "system:cli", str(made.id))
    assert event.details == {"name": "Ada", "role": "analyst"}


async def test_an_account_shows_no_password_hash_in_its_repr(users: Users) -> None:
    made = await create(users, "Ada")
    assert made.password_hash.startswith("$argon2id$")
    assert "argon2" not in repr(made)


async def test_an_account_that_is_not_there(users: Users) -> None:
    with pytest.raises(NotFound):
        await users.get(new_id())


async def test_whether_there_is_any_account(users: Users) -> None:
    assert not await users.exist()
    await create(users, "Ada")
    assert await users.exist()


TWINS = {
    "the same": ("ada", "ada"),
    "case": ("ada", "ADA"),
    "full-width letters": ("ada", "\uff21\uff44\uff41"),
    "a ligature": ("office", "o\N{LATIN SMALL LIGATURE FFI}ce"),
    "composed and decomposed": ("ren\u00e9e", "rene\u0301e"),
    "a sharp s": ("stra\u00dfe", "STRASSE"),
    "a final sigma": ("\u03bf\u03b4\u03cc\u03c2", "\u039f\u0394\u038c\u03a3"),
    "a Kelvin sign": ("kim", "\N{KELVIN SIGN}im"),
    "mathematical letters": ("ada", "\U0001d41a\U0001d41d\U0001d41a"),
    "circled digits": ("agent1", "agent\N{CIRCLED DIGIT ONE}"),
    "superscripts": ("agent2", "agent\N{SUPERSCRIPT TWO}"),
}


@pytest.mark.parametrize(("one", "two"), TWINS.values(), ids=list(TWINS))
def test_twins_are_compared_as_the_same(one: str, two: str) -> None:
    assert name_key(one) == name_key(two)


async def test_a_twin_of_a_name_is_taken(users: Users, database: Database) -> None:
    for one, two in (TWINS["case"], TWINS["a ligature"], TWINS["composed and decomposed"]):
        await create(users, one)
        for name in (one, two):
            with pytest.raises(UserTaken):
                await create(users, name)
    assert await count(database) == len(await events(database)) == 3


async def test_of_ten_accounts_of_one_name_at_once_one_is_made(users: Users, database: Database) -> None:
    names = [unicodedata.normalize(form, name) for name in ("Renée", "renée", "RENÉE") for form in ("NFC", "NFD")]
    results = await asyncio.gather(*(create(users, name) for name in names), return_exceptions=True)
    assert sorted(isinstance(result, UserTaken) for result in results) == [False, *[True] * 5]
    assert await count(database) == len(await events(database)) == 1


DIFFERENT = [("ada", "adá"), ("ada", "adа"), ("ada", "ada1"), ("a.b", "ab"), ("ada", "ad")]  # noqa: RUF001  # one is Cyrillic


@pytest.mark.parametrize(("one", "two"), DIFFERENT, ids=range(len(DIFFERENT)))
def test_names_that_only_look_alike_are_different(one: str, two: str) -> None:
    assert name_key(one) != name_key(two)


GOOD_NAMES = [
    "a",
    "a" * 64,
    "ada.lovelace@example.org",
    "O'Neill",
    "李小龍",
    "محمد",
    "x_y-z+1",
    "Ünïcödé",
    "\U0001f600",
    "007",
    "é" * 64,
    "\ufdfa" * 14 + "a" * 4,  # as long as can be where names are compared
]


async def test_any_visible_name_will_do(users: Users) -> None:
    for name in GOOD_NAMES:
        assert (await users.get((await create(users, name)).id)).name == name


NOTHING_TO_SEE = {
    "nothing": "",
    "65 characters": "a" * 65,
    "a space": "ada lovelace",
    "a space in front": " ada",
    "a space behind": "ada ",
    "a no-break space": "ada\u00a0",
    "an ideographic space": "ada\u3000",
    "a thin space": "a\u2009da",
    "a tab": "a\tda",
    "a newline": "ada\n",
    "a carriage return": "ada\r",
    "a NUL": "a\0da",
    "an escape": "\x1b[31mada",
    "a delete": "ada\x7f",
    "a C1 control": "ada\x85",
    "a zero-width space": "a\u200bda",
    "a zero-width joiner": "a\u200dda",
    "a right-to-left override": "\u202eada",
    "an isolate": "\u2066ada\u2069",
    "a soft hyphen": "a\u00adda",
    "a word joiner": "a\u2060da",
    "a byte order mark": "\ufeffada",
    "a line separator": "ada\u2028",
    "a paragraph separator": "ada\u2029",
    "a tag": "ada\U000e0041",
    "a private character": "ada\ue000",
    "an unassigned character": "ada\u0378",
    "a noncharacter": "ada\uffff",
    "a lone surrogate": "ada\ud800",
    "an Arabic number sign": "ada\u0600",
    "a Hangul filler": "ada\u3164",
    "a half-width Hangul filler": "ada\uffa0",
    "a leading Hangul filler": "\u115fada",
    "a vowel filler": "a\u1160da",
    "a grapheme joiner": "a\u034fda",
    "a variation selector": "ada\ufe0f",
    "a variation selector of the supplement": "ada\U000e0100",
    "a Mongolian variation selector": "ada\u180b",
    "a Khmer vowel that is not seen": "ada\u17b5",
    "a Braille cell without dots": "ada\u2800",
    "64 ligatures of eighteen letters": "\ufdfa" * 64,
    "one ligature too many": "\ufdfa" * 14 + "a" * 5,
}


async def is_refused(users: Users, name: str) -> bool:
    try:
        await create(users, name)
    except Unprocessable as refused:
        return "user name" in str(refused)
    return False


async def test_invisible_control_and_space_characters_are_refused(users: Users, database: Database) -> None:
    assert [what for what, name in NOTHING_TO_SEE.items() if not await is_refused(users, name)] == []
    assert await count(database) == 0
    assert await events(database) == []


async def test_an_account_with_an_unacceptable_password_is_not_made(users: Users, database: Database) -> None:
    with pytest.raises(Unprocessable, match="password"):
        await users.create("ada", Role.ADMIN, "short", actor="system:cli")
    assert await count(database) == 0
    assert await events(database) == []


@given(st.text(max_size=30))
def test_a_name_as_it_is_compared_stays_as_it_is(name: str) -> None:
    key = name_key(name)
    assert name_key(key) == key
    assert name_key(unicodedata.normalize("NFD", name)) == name_key(unicodedata.normalize("NFC", name))
