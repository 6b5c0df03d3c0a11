"""`portal init` and `portal db`: from an empty folder to a portal, every step taken once, resumed where it was cut."""

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from portal.bootstrap import Portal
from portal.core.package_data import env_example
from portal.core.principal import NOWHERE

from .conftest import Shell

KEYS = ("PORTAL_MASTER_KEY", "PORTAL_SECRET_KEY")


def assigned(folder: Path) -> dict[str, str]:
    lines = (folder / ".env").read_text().splitlines()
    return dict(line.partition("=")[::2] for line in lines if line and not line.startswith("#"))


def password_in(out: str) -> str:
    found = re.search(r"^password: +(\S+)", out, re.MULTILINE)
    assert found
    return found[1]


def signs_in(shell: Shell, name: str, password: str) -> str:
    async def sign_in(portal: Portal) -> str:
        await portal.identity.sessions.sign_in(name, password, NOWHERE)
        return (await portal.identity.users.named(name)).role.value

    return shell.inside(sign_in)


def test_an_empty_folder_becomes_a_portal(empty: Shell) -> None:
    ran = empty("init")
    assert (ran.code, ran.err) == (0, "")
    assert (empty.folder / ".env").stat().st_mode & 0o777 == 0o600
    assert "wrote PORTAL_MASTER_KEY and PORTAL_SECRET_KEY to .env" in ran.out
    assert "keep a copy of PORTAL_MASTER_KEY elsewhere" in ran.out
    assert ran.out.count("password:") == 1
    assert signs_in(empty, "admin", password_in(ran.out)) == "admin"
    assert empty("db", "check").code == 0


def test_the_keys_are_fresh_and_the_rest_is_the_example(empty: Shell) -> None:
    empty("init")
    written = (empty.folder / ".env").read_text()
    values = assigned(empty.folder)
    assert all(re.fullmatch(r"[0-9a-f]{64}", values[name]) for name in KEYS)
    assert values[KEYS[0]] != values[KEYS[1]]
    for name in KEYS:
        written = written.replace(values[name], "")
    assert written == env_example().read_text("utf-8")


def test_no_two_portals_share_a_key_or_a_password(empty: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = set()
    for number in range(2):
        folder = empty.folder / str(number)
        folder.mkdir()
        monkeypatch.chdir(folder)
        secrets.add(password_in(empty("init").out))
        secrets |= {assigned(folder)[name] for name in KEYS}
    assert len(secrets) == 6


def test_the_password_is_shown_once_and_kept_nowhere(empty: Shell) -> None:
    password = password_in(empty("init").out)
    assert len(password) >= 32
    kept = [path.read_bytes() for path in empty.folder.rglob("*") if path.is_file()]
    assert kept
    assert not any(password.encode() in content for content in kept)


def test_a_second_init_has_nothing_to_do(empty: Shell) -> None:
    empty("init")
    before = (empty.folder / ".env").read_bytes()
    ran = empty("init")
    assert (ran.code, ran.out.splitlines()[-1]) == (0, "this portal is set up")
    assert (empty.folder / ".env").read_bytes() == before
    assert len(empty.query("SELECT id FROM users")) == 1


def test_an_init_cut_off_behind_the_keys_is_resumed(keyed: Shell) -> None:
    before = (keyed.folder / ".env").read_bytes()
    ran = keyed("init")
    assert ran.code == 0
    assert "wrote" not in ran.out
    assert (keyed.folder / ".env").read_bytes() == before
    assert signs_in(keyed, "admin", password_in(ran.out)) == "admin"


def test_an_init_cut_off_behind_the_tables_is_resumed(keyed: Shell) -> None:
    keyed("db", "upgrade")
    assert signs_in(keyed, "admin", password_in(keyed("init").out)) == "admin"


def test_the_administrator_can_be_called_otherwise(empty: Shell) -> None:
    ran = empty("init", "--admin", "root")
    assert "administrator: root\n" in ran.out
    assert signs_in(empty, "ROOT", password_in(ran.out)) == "admin"


def test_a_name_that_will_not_do_is_refused_and_another_resumes(empty: Shell) -> None:
    ran = empty("init", "--admin", "two words")
    assert ran.code == 3
    assert "password:" not in ran.out
    assert empty("init").code == 0
    assert len(empty.query("SELECT id FROM users")) == 1


def test_init_answers_scripts_in_json(empty: Shell) -> None:
    first = empty("init", "--json").json
    assert (first["wrote_keys"], first["administrator"]) == (list(KEYS), "admin")
    assert signs_in(empty, "admin", first["password"]) == "admin"
    assert empty("init", "--json").json == {"wrote_keys": [], "administrator": None, "password": None}


def test_init_leaves_nothing_half_done_behind(empty: Shell) -> None:
    empty("init")
    assert sorted(path.name for path in empty.folder.iterdir()) == [".env", "var"]
    assert (empty.folder / "var").stat().st_mode & 0o777 == 0o700


def test_the_first_account_is_on_record(empty: Shell) -> None:
    empty("init")
    (event,) = empty.record("user.created")
    assert event["actor"].startswith("system:cli/")
    assert event["details"] == {"name": "admin", "role": "admin"}


def test_a_refused_configuration_makes_no_account(empty: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTAL_TYPO", "1")
    ran = empty("init")
    assert (ran.code, ran.out) == (78, "")
    assert ran.err.startswith("portal: PORTAL_TYPO is not a setting")
    assert list(empty.folder.iterdir()) == []


def test_a_database_without_tables_is_told_what_to_do(keyed: Shell) -> None:
    (keyed.folder / "var").mkdir()
    (keyed.folder / "var" / "portal.db").touch()
    ran = keyed("db", "check")
    assert (ran.code, ran.out) == (78, "")
    assert ran.err == "portal: the database has no tables yet: run `portal db upgrade`\n"


def test_an_upgrade_makes_the_database_current_and_can_be_repeated(keyed: Shell) -> None:
    for _ in range(2):
        ran = keyed("db", "upgrade")
        assert (ran.code, ran.out, ran.err) == (0, "the database is current\n", "")
    assert keyed("db", "check").code == 0
    assert keyed("db", "upgrade", "--json").json == keyed("db", "check", "--json").json == {"current": True}


def test_a_database_of_another_release_is_told_what_to_do(portal: Shell) -> None:
    with closing(sqlite3.connect(portal.folder / "var" / "portal.db")) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'future'")
        connection.commit()
    ran = portal("db", "check")
    assert ran.code == 78
    assert "is at revision future" in ran.err
    assert "portal db upgrade" in ran.err
