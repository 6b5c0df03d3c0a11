"""What every command shares: help, exit codes, one line a failure, a bar on a terminal and nowhere else."""

import getpass
import io
import os
import resource
from typing import NoReturn

import pytest
import typer
from rich.console import Console

from portal.backends.keys.base import KeyProviderError
from portal.cli import console
from portal.cli.console import Exit
from portal.core.errors import ConfigError, IntegrityError, NotFound, PortalError, StorageFull, Unavailable
from portal.db.unit_of_work import DatabaseAway

from .conftest import Shell

COMMANDS = [("init",), ("serve",), ("sweep",), ("fsck",), ("rescue",), ("db", "upgrade"), ("db", "check")]
COMMANDS += [("users", "create"), ("files", "export")]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(empty: Shell, command: tuple[str, ...]) -> None:
    ran = empty(*command, "--help")
    assert (ran.code, ran.err) == (0, "")
    assert len(ran.out.splitlines()) > 4
    assert list(empty.folder.iterdir()) == []


@pytest.mark.parametrize("command", [("nonsense",), ("db", "nonsense"), ("fsck", "--nonsense"), ("rescue",)])
def test_what_nobody_knows_is_a_wrong_argument(empty: Shell, command: tuple[str, ...]) -> None:
    ran = empty(*command)
    assert (ran.code, ran.out) == (2, "")
    assert list(empty.folder.iterdir()) == []


def test_keys_are_kept_out_of_core_dumps_and_other_peoples_files(empty: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = []
    monkeypatch.setattr(resource, "setrlimit", lambda *limit: limits.append(limit))
    empty("init", "--help")
    assert limits == [(resource.RLIMIT_CORE, (0, 0))]
    assert os.umask(0o022) == 0o077


LONG = "[bold]no markup[/bold] " + "x" * 500

FAILURES: dict[str, tuple[Exception, Exit, str]] = {
    "a configuration": (ConfigError("one", "two"), Exit.CONFIG, "portal: one\nportal: two\n"),
    "a database": (DatabaseAway(), Exit.UNAVAILABLE, f"portal: {DatabaseAway.title}\n"),
    "a key provider": (KeyProviderError(), Exit.UNAVAILABLE, f"portal: {KeyProviderError.title}\n"),
    "anything away": (Unavailable("gone"), Exit.UNAVAILABLE, "portal: gone\n"),
    "nothing there": (NotFound(), Exit.REFUSED, f"portal: {NotFound.title}\n"),
    "damage": (IntegrityError(), Exit.REFUSED, f"portal: {IntegrityError.title}\n"),
    "a full store": (StorageFull(), Exit.REFUSED, f"portal: {StorageFull.title}\n"),
    "a long line": (PortalError(LONG), Exit.REFUSED, f"portal: {LONG}\n"),
    "a file": (OSError(28, "No space left", "a/file"), Exit.REFUSED, "portal: No space left: a/file\n"),
    "no file": (OSError(28, "No space left"), Exit.REFUSED, "portal: No space left\n"),
    "no number": (OSError("something else"), Exit.REFUSED, "portal: something else\n"),
}


@pytest.mark.parametrize(("error", "code", "err"), FAILURES.values(), ids=FAILURES)
def test_every_foreseen_failure_is_a_line_and_a_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception, code: Exit, err: str
) -> None:
    app = typer.Typer()

    @app.command()
    def fail() -> NoReturn:
        raise error

    monkeypatch.setattr("sys.argv", ["portal"])
    with pytest.raises(SystemExit) as ended:
        console.run(app)
    assert ended.value.code == code
    assert capsys.readouterr() == ("", err)


def test_a_bug_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    app = typer.Typer(pretty_exceptions_enable=False)

    @app.command()
    def fail() -> NoReturn:
        raise ZeroDivisionError

    monkeypatch.setattr("sys.argv", ["portal"])
    with pytest.raises(ZeroDivisionError):
        console.run(app)


def test_exit_codes_are_a_promise() -> None:
    assert {code.name: int(code) for code in Exit} == {
        "OK": 0,
        "FOUND": 1,
        "REFUSED": 3,
        "UNAVAILABLE": 69,
        "CONFIG": 78,
    }


def test_the_record_names_the_user_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    assert console.actor() == f"system:cli/{getpass.getuser()}"

    def nobody() -> NoReturn:
        raise KeyError("no such user")

    monkeypatch.setattr(getpass, "getuser", nobody)
    assert console.actor() == "system:cli/unknown"


@pytest.mark.parametrize(
    ("terminal", "as_json", "shown"), [(True, False, True), (True, True, False), (False, False, False)]
)
@pytest.mark.parametrize("in_bytes", [True, False])
def test_a_bar_is_for_people_at_a_terminal(
    monkeypatch: pytest.MonkeyPatch, *, terminal: bool, as_json: bool, shown: bool, in_bytes: bool
) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(console, "_errors", Console(file=screen, force_terminal=terminal, width=100))
    with console.progress("checking", 3, as_json=as_json, in_bytes=in_bytes) as advance:
        advance(1)
    assert ("checking" in screen.getvalue()) is shown
