"""Shares of a master key, in files and on a terminal.

Comes in: the words of new shares; or files, or words that are typed without echo. Leaves: shares that are shown one
after the other, new files for their owner alone; or the master key. Next: `key_shares` has the commands.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from portal.core.errors import ConfigError, InvalidInput
from portal.core.secrets import Secret

if TYPE_CHECKING:  # it comes with an extra
    from portal.crypto.shares import KeyShare

NOTE = "#"  # a line of a share's file that is for people
_MAX_BYTES = 4096  # a share has some 250 characters
_CLEAR = "\x1b[H\x1b[2J\x1b[3J"  # the screen, and what was scrolled out of it


def show(texts: Sequence[str]) -> None:
    """Each share by itself: whoever writes one down does not see the others."""
    for text in texts:
        sys.stdout.write(f"{text}\n")
        if sys.stdout.isatty():
            sys.stdout.flush()
            typer.prompt("Enter clears this one", default="", show_default=False, err=True)
            sys.stdout.write(_CLEAR)


def written(folder: Path, texts: Sequence[str]) -> list[Path]:
    """The new files of the shares. All of them, or none."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    paths = [folder / f"share-{number}.txt" for number in range(1, len(texts) + 1)]
    made = []
    try:
        for path, text in zip(paths, texts, strict=True):
            write_new(path, text)
            made.append(path)
    except BaseException:
        for path in made:
            path.unlink(missing_ok=True)
        raise
    return paths


def write_new(path: Path, text: str) -> None:
    """Write a file that was not there, for its owner alone. Raises OSError; then there is none."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def combined(files: list[Path] | None) -> Secret:
    with shares_extra():
        from portal.crypto import shares  # noqa: PLC0415
    found = [_in_file(path) for path in files] if files else list(_typed())
    return shares.combine(found)


def _in_file(path: Path) -> "KeyShare":
    """The share in a file. Raises InvalidInput, which names the file."""
    from portal.crypto.shares import KeyShare  # noqa: PLC0415

    with path.open("rb") as file:
        text = file.read(_MAX_BYTES).decode("utf-8", "replace")
    lines = [line for line in text.splitlines() if not line.startswith(NOTE)]
    try:
        return KeyShare.parse(" ".join(lines))
    except InvalidInput as error:
        raise InvalidInput(f"{path}: {error}") from None


def _typed() -> "Iterator[KeyShare]":
    """Shares as they are typed, until there are enough. On a terminal a mistyped one is asked for again."""
    from portal.crypto.shares import KeyShare  # noqa: PLC0415

    count, needed = 0, 1
    while count < needed:
        try:
            share = KeyShare.parse(_line(count + 1))
        except InvalidInput as error:
            if not sys.stdin.isatty():
                raise
            typer.echo(str(error), err=True)
            continue
        count, needed = count + 1, share.threshold
        yield share


def _line(number: int) -> str:
    if sys.stdin.isatty():
        return str(typer.prompt(f"share {number}", hide_input=True, err=True))
    return sys.stdin.buffer.readline(_MAX_BYTES).decode("utf-8", "replace")


@contextmanager
def shares_extra() -> Iterator[None]:
    """Around the import of what comes with `portal[shares]`."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ConfigError(f"this command needs {error.name}: install portal[shares]") from None
