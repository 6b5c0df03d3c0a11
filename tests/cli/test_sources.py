"""Where keys and settings come from: `init` keeps to what is in force, and no other command makes anything."""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from portal import config, sources

from .conftest import Shell

MASTER, SECRET, OTHER = (sha256(name.encode()).hexdigest() for name in ("master", "secret", "other"))
KEYS = {"PORTAL_MASTER_KEY": MASTER, "PORTAL_SECRET_KEY": SECRET}
Give = Callable[[Path, pytest.MonkeyPatch], None]


def in_environment(*names: str) -> Give:
    def give(_folder: Path, patch: pytest.MonkeyPatch) -> None:
        for name in names:
            patch.setenv(name, KEYS[name])

    return give


def in_files(_folder: Path, patch: pytest.MonkeyPatch) -> None:
    for name, path in _files(_folder).items():
        patch.setenv(name, str(path))


def in_env_file(folder: Path, _patch: pytest.MonkeyPatch) -> None:
    (folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in KEYS.items()))


def in_files_of_env_file(folder: Path, _patch: pytest.MonkeyPatch) -> None:
    lines = [f"{name}={path.relative_to(folder)}\n" for name, path in _files(folder).items()]
    (folder / ".env").write_text("".join(lines))


def in_files_beside_other_keys(folder: Path, patch: pytest.MonkeyPatch) -> None:
    in_files(folder, patch)
    (folder / ".env").write_text(f"PORTAL_MASTER_KEY={OTHER}\nPORTAL_SECRET_KEY={OTHER[::-1]}\n")


def in_environment_beside_other_keys(folder: Path, patch: pytest.MonkeyPatch) -> None:
    in_environment(*KEYS)(folder, patch)
    (folder / ".env").write_text(f"PORTAL_MASTER_KEY={OTHER}\nPORTAL_SECRET_KEY={OTHER[::-1]}\n")


def half_in_env_file(folder: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("PORTAL_MASTER_KEY", MASTER)
    (folder / ".env").write_text(f"PORTAL_SECRET_KEY={SECRET}")


def _files(folder: Path) -> dict[str, Path]:
    for name, value in KEYS.items():
        (folder / name.lower()).write_text(value + "\n")
    return {f"{name}_FILE": folder / name.lower() for name in KEYS}


GIVEN: dict[str, tuple[Give, str]] = {
    "the environment": (in_environment(*KEYS), "the environment"),
    "files": (in_files, "PORTAL_MASTER_KEY_FILE in the environment"),
    "a .env": (in_env_file, ".env"),
    "files that a .env names": (in_files_of_env_file, "PORTAL_MASTER_KEY_FILE in .env"),
    "files, and others in .env": (in_files_beside_other_keys, "not the other one in .env"),
    "the environment, and others in .env": (in_environment_beside_other_keys, "not the other one in .env"),
    "half here, half there": (half_in_env_file, "the environment"),
}


@pytest.mark.parametrize(("give", "told"), GIVEN.values(), ids=GIVEN)
def test_init_keeps_to_the_keys_that_are_given_and_says_whose_they_are(
    empty: Shell, monkeypatch: pytest.MonkeyPatch, give: Give, told: str
) -> None:
    give(empty.folder, monkeypatch)
    before = {path.name: path.read_text() for path in empty.folder.iterdir()}
    for _ in range(2):
        ran = empty("init")
        assert (ran.code, ran.err) == (0, "")
        assert "keep a copy" not in ran.out
        assert told in next(line for line in ran.out.splitlines() if line.startswith("PORTAL_MASTER_KEY comes from"))
        assert {path.name: path.read_text() for path in empty.folder.iterdir() if path.is_file()} == before
        variables = config.load()[1]
        assert {name: variables[name] for name in KEYS} == KEYS
    assert empty("db", "check").code == 0


@pytest.mark.parametrize("given", list(KEYS))
@pytest.mark.parametrize("template", [None, "", "PORTAL_MASTER_KEY=\nPORTAL_SECRET_KEY=\n", "PORTAL_DEBUG=true"])
def test_init_makes_the_one_key_that_nothing_gives(
    empty: Shell, monkeypatch: pytest.MonkeyPatch, given: str, template: str | None
) -> None:
    (missing,) = set(KEYS) - {given}
    monkeypatch.setenv(given, KEYS[given])
    if template is not None:
        (empty.folder / ".env").write_text(template)
    ran = empty("init")
    assert (ran.code, ran.err) == (0, "")
    assert f"{given} comes from the environment\nwrote {missing} to .env" in ran.out
    assert ("keep a copy of PORTAL_MASTER_KEY" in ran.out) is (missing == "PORTAL_MASTER_KEY")
    assert KEYS[given] not in (empty.folder / ".env").read_text()
    assert (empty.folder / ".env").stat().st_mode & 0o777 == 0o600
    found = sources.read({}, empty.folder / ".env")
    assert len(found[missing].value) == 64
    assert not found.get(given, sources.Given("", "")).value
    assert empty("db", "check").code == 0


def make_an_account(shell: Shell) -> None:
    assert shell("users", "create", "alice", "--role", "analyst", "--no-password").code == 0


def seal_a_file(shell: Shell) -> None:
    shell.hand_in(b"content")


@pytest.mark.parametrize("use", [make_an_account, seal_a_file])
def test_init_makes_no_new_keys_for_a_database_that_needs_others(portal: Shell, use: Callable[[Shell], None]) -> None:
    use(portal)
    (portal.folder / ".env").write_text(f"PORTAL_SECRET_KEY={SECRET}\n")
    ran = portal("init")
    assert (ran.code, ran.out) == (78, "")
    assert ran.err == (
        "portal: the database is in use already, but without PORTAL_MASTER_KEY: give the key it was made with\n"
    )
    assert (portal.folder / ".env").read_text() == f"PORTAL_SECRET_KEY={SECRET}\n"


def test_init_makes_keys_for_tables_that_hold_nothing(empty: Shell) -> None:
    (empty.folder / ".env").touch()
    assert empty("db", "upgrade").code == 0
    ran = empty("init")
    assert (ran.code, ran.err) == (0, "")
    assert "wrote PORTAL_MASTER_KEY and PORTAL_SECRET_KEY to .env" in ran.out


def test_init_writes_no_key_that_the_environment_would_hide(empty: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTAL_MASTER_KEY", "")
    ran = empty("init")
    assert (ran.code, ran.out) == (78, "")
    assert ran.err == "portal: PORTAL_MASTER_KEY is empty in the environment, which hides .env: unset it\n"
    assert list(empty.folder.iterdir()) == []


def test_a_key_and_its_file_in_one_place_are_refused_by_the_place(
    empty: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_files_of_env_file(empty.folder, monkeypatch)
    with (empty.folder / ".env").open("a") as file:
        file.write(f"PORTAL_MASTER_KEY={OTHER}\n")
    for command in (("init",), ("db", "check")):
        ran = empty(*command)
        assert (ran.code, ran.out) == (78, "")
        assert ran.err == "portal: PORTAL_MASTER_KEY and PORTAL_MASTER_KEY_FILE are both set in .env: keep one\n"


COMMANDS = [
    ("serve",),
    ("db", "check"),
    ("users", "list"),
    ("users", "create", "alice", "--role", "analyst", "--password-stdin"),
    ("users", "logout", "alice"),
    ("sweep",),
    ("fsck",),
    ("files", "export", "0190f3a2-7c11-7d53-8e0c-5a1d2f3b4c5d", "--to", "out"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_folder_without_settings_says_so_and_stays_as_it_is(empty: Shell, command: tuple[str, ...]) -> None:
    ran = empty(*command, stdin="correct horse battery staple\n")
    assert (ran.code, ran.out) == (78, "")
    assert len(ran.err.splitlines()) == 2
    for line in ran.err.splitlines():
        assert f"there is no {empty.folder / '.env'}" in line
        assert "--env-file" in line
    assert list(empty.folder.iterdir()) == []


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_command_founds_a_database(empty: Shell, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]) -> None:
    in_environment(*KEYS)(empty.folder, monkeypatch)
    ran = empty(*command, stdin="correct horse battery staple\n")
    assert (ran.code, ran.out) == (78, "")
    assert ran.err == (
        f"portal: there is no database {empty.folder}/var/portal.db: "
        "run this in the portal's folder or give --env-file PATH\n"
    )
    assert list(empty.folder.iterdir()) == []


@pytest.mark.parametrize("command", [("db", "check"), ("users", "list"), ("init",), ("sweep",)], ids=" ".join)
def test_an_env_file_names_a_portal_from_anywhere(
    portal: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: tuple[str, ...]
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    for path in (str(portal.folder / ".env"), "../portal/.env"):
        assert portal("--env-file", path, *command).code == 0
    assert list(elsewhere.iterdir()) == []


def test_an_env_file_that_is_not_there_is_refused(portal: Shell) -> None:
    ran = portal("--env-file", "nowhere.env", "db", "check")
    assert (ran.code, ran.err) == (78, "portal: --env-file: there is no file nowhere.env\n")


def test_what_is_no_setting_is_told_with_its_source_and_what_may_be_meant(
    portal: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTAL_DATABSE_URL", "sqlite:///x")
    with (portal.folder / ".env").open("a") as file:
        file.write("PORTAL_SITE=example.org\n")
    assert portal("db", "check").err == (
        "portal: PORTAL_DATABSE_URL is not a setting, but the environment sets it: did you mean PORTAL_DATABASE_URL?\n"
        "portal: PORTAL_SITE is not a setting, but .env sets it: see docs/configuration.md\n"
    )
