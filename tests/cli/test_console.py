"""What every command shares: help, exit codes, one line a failure, a bar on a terminal and nowhere else."""

import getpass
import io
import os
import resource
import subprocess
import sys
from importlib.metadata import version
from typing import NoReturn

import pytest
import typer
from rich.console import Console

from portal.backends.keys.base import KeyProviderError
from portal.cli import console
from portal.cli.program import COMMANDS, Exit, load, run
from portal.core.errors import ConfigError, IntegrityError, NotFound, PortalError, StorageFull, Unavailable
from portal.db.unit_of_work import DatabaseAway

from .conftest import Shell


def every_command() -> list[tuple[str, ...]]:
    below = {name: getattr(load(name), "commands", {}) for name in COMMANDS}
    return [(name, *more) for name, subs in below.items() for more in [(), *((sub,) for sub in subs)]]


@pytest.mark.parametrize("ask", ["-h", "--help"])
@pytest.mark.parametrize("command", every_command(), ids=" ".join)
def test_every_command_explains_itself(empty: Shell, command: tuple[str, ...], ask: str) -> None:
    ran = empty(*command, ask)
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


WRONG: dict[str, tuple[tuple[str, ...], str]] = {
    "no such command": (("nonsense",), "portal: No such command 'nonsense'. (see `portal --help`)\n"),
    "no such option": (("fsck", "--nonsense"), "portal: No such option: --nonsense (see `portal fsck --help`)\n"),
    "a value that is none": (
        ("sweep", "--older-than", "soon"),
        "portal: Invalid value for --older-than: write a time span as 90s, 10m, 2h or 1d (see `portal sweep --help`)\n",
    ),
}


@pytest.mark.parametrize(("arguments", "told"), WRONG.values(), ids=WRONG)
def test_a_wrong_argument_is_one_line_like_every_other(empty: Shell, arguments: tuple[str, ...], told: str) -> None:
    ran = empty(*arguments)
    assert (ran.code, ran.out, ran.err) == (2, "", told)


@pytest.mark.parametrize("group", sorted({name for name, *more in every_command() if more}))
def test_a_group_without_a_command_shows_what_it_has(empty: Shell, group: str) -> None:
    ran = empty(group)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("Usage: ")


def test_the_version_is_told(empty: Shell) -> None:
    assert empty("--version").out == f"portal {version('portal')}\n"


HEAVY = {"sqlalchemy", "fastapi", "uvicorn", "cryptography"}


@pytest.mark.parametrize(
    ("asks", "lean"),
    [
        ([["--version"], ["--help"], []], HEAVY | {"pydantic", "rich"}),
        ([["rescue", "-h"], ["files", "-h"], ["keys", "-h"], ["jobs", "list", "-h"]], HEAVY - {"cryptography"}),
    ],
)
def test_help_imports_neither_the_server_nor_the_database(asks: list[list[str]], lean: set[str]) -> None:
    """Completion runs the program at every tab, too; and `rescue` needs no more than its key."""
    program = (
        f"import contextlib, sys\nfrom portal.cli import main\nfor sys.argv[1:] in {asks}:\n"
        f" with contextlib.suppress(SystemExit): main()\nprint(sorted({lean} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


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
        run(app)
    assert ended.value.code == code
    assert capsys.readouterr() == ("", err)


def test_a_bug_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    app = typer.Typer(pretty_exceptions_enable=False)

    @app.command()
    def fail() -> NoReturn:
        raise ZeroDivisionError

    monkeypatch.setattr("sys.argv", ["portal"])
    with pytest.raises(ZeroDivisionError):
        run(app)


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


TOLD_TO_STOP = """
import asyncio, os, signal, typer
from portal.cli.console import run_async
from portal.cli.program import run

async def work():
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(60)
    finally:
        print("cleaned up")

app = typer.Typer()
app.command()(lambda: run_async(work()))
run(app)
"""


@pytest.mark.parametrize("before", ["", "signal.signal(signal.SIGINT, signal.SIG_IGN)"], ids=["alone", "in background"])
def test_a_command_that_is_told_to_stop_cleans_up(before: str) -> None:
    program = f"import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n{before}{TOLD_TO_STOP}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (130, "cleaned up\n", "")
