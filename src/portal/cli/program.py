"""The program: its commands and its exit codes. A command's module is imported only when that command is called.

Comes in: arguments. Leaves: an exit code (`Exit`), and one line on standard error for each expected problem.
"""

import os
import resource
import signal
import sys
from collections.abc import Callable
from enum import IntEnum
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from portal.core.errors import ConfigError, PortalError, Unavailable
from portal.core.unicode_safety import visible

COMMANDS = {  # name: (module, attribute of the module, one line of help)
    "init": ("setup", "init", "Make a portal here: missing keys, tables, a first administrator."),
    "serve": ("serve", "serve", "Serve the API until told to stop."),
    "worker": ("worker", "worker", "Run jobs until told to stop, and serve nothing."),
    "doctor": ("doctor", "doctor", "Show every setting with its source, and how each part is."),
    "db": ("setup", "db", "Bring the database up to this release, or say whether it is."),
    "users": ("users", "app", "Make, list and change accounts."),
    "keys": ("keys", "app", "Show, rotate, rewrap, verify, retire or split keys."),
    "receipt": ("receipt", "app", "Verify signed documents; the keys that sign them."),
    "backup": ("backup", "app", "Make, list, verify, restore or prune backups."),
    "stores": ("stores", "app", "List the blob stores, or make a new one known."),
    "approvals": ("approvals", "app", "List or refuse requests for a second administrator's approval."),
    "cases": ("cases", "app", "Shred a case, with a signed receipt."),
    "jobs": ("jobs", "app", "List, show, cancel or retry jobs."),
    "sweep": ("maintenance", "sweep", "Settle uploads and deletes that a crash left."),
    "fsck": ("maintenance", "fsck", "Check that every file is whole."),
    "openapi": ("openapi", "openapi", "Print the OpenAPI document."),
    "files": ("files", "app", "Export a file with its keys."),
    "rescue": ("files", "rescue", "Open a blob with its file key and nothing else."),
}
_UsageError: Any = typer.BadParameter.__base__  # Typer shows only some of its errors


class Exit(IntEnum):
    """Exit codes. 2 is the parser's: wrong arguments."""

    OK = 0
    FOUND = 1  # fsck found damage
    REFUSED = 3  # not found, not allowed, damaged, or not acceptable
    UNAVAILABLE = 69  # EX_UNAVAILABLE: a part is unavailable; try again
    CONFIG = 78  # EX_CONFIG: the configuration is refused


class Commands(TyperGroup):
    """The group of all commands. It has their names and help texts, and imports only the command that is called."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.commands.update({name: TyperCommand(name, help=told) for name, (_, _, told) in COMMANDS.items()})

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, _, rest = super().resolve_command(ctx, args)
        return name, None if name is None else load(name), rest


def load(name: str) -> Any:
    """Import the command."""
    module, attribute, _ = COMMANDS[name]
    found: typer.Typer | Callable[..., None] = getattr(import_module(f"portal.cli.{module}"), attribute)
    if not isinstance(found, typer.Typer):
        alone = typer.Typer(add_completion=False, rich_markup_mode=None)
        alone.command(name)(found)
        found = alone
    command = get_command(found)
    command.name = name
    return command


def run(app: typer.Typer) -> None:
    """Run the program. Every expected failure is one line on standard error for each problem, and an exit code. SIGTERM
    ends a command as Ctrl-C does, so that no half of a file in clear is left.
    """
    os.umask(0o077)  # only the owner may read the files that the program writes
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # no core dumps: the memory contains keys
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        code = app(standalone_mode=False)
    except ConfigError as error:
        _fail(Exit.CONFIG, *error.problems)
    except PortalError as error:
        _fail(Exit.UNAVAILABLE if isinstance(error, Unavailable) else Exit.REFUSED, str(error))
    except OSError as error:
        _fail(Exit.REFUSED, f"{error.strerror or error}: {error.filename or ''}".rstrip(": "))
    except typer.Abort:
        _fail(130, "stopped")
    except _UsageError as error:
        if error.format_message().startswith("Usage:"):  # a group without a command
            sys.stderr.write(f"{error.format_message()}\n")
            sys.exit(error.exit_code)
        context = getattr(error, "ctx", None)
        hint = f" (see `{context.command_path} --help`)" if context is not None else ""
        _fail(error.exit_code, f"{error.format_message().replace('Value error, ', '')}{hint}")
    else:
        sys.exit(code if isinstance(code, int) else Exit.OK)


def _interrupt(*_: object) -> None:
    """As Ctrl-C does; also where that is ignored, as in the background of a shell's script."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.raise_signal(signal.SIGINT)


def _fail(code: int, *problems: str) -> None:
    for problem in problems:
        sys.stderr.write(f"portal: {visible(problem)}\n")
    sys.exit(code)
