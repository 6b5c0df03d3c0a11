"""What a power cut may leave of one blob: a model that promises as little as file systems do.

Comes in: the calls on a store's folder, in order. Leaves: every state its folder may be found in afterwards.

- Bytes that were not synced may be missing, cut, zeroes in their full length, or there.
- A name that came or went in a folder that was not synced since may be there or not, each for itself: a move from one
  folder to another may be found in either, in both or in neither.
- A file's own sync says nothing of its name.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from .strace import Call

_PATH = re.compile(r'[<"](/[^<>"]*)[>"]')  # an argument, or what a descriptor is open on
_KINDS = {
    "openat": "create",
    "write": "write",
    "fsync": "sync",
    **dict.fromkeys(("rename", "renameat", "renameat2"), "move"),
    **dict.fromkeys(("unlink", "unlinkat"), "remove"),
}


class Step(NamedTuple):
    """`kind` is create, write, sync, move, remove or commit; `path` is relative to the store, `target` where it moves.

    `size` is how many bytes were written, or how long the database's log is once it was committed.
    """

    kind: str
    path: str = ""
    target: str = ""
    size: int = 0


class State(NamedTuple):
    """The blob's names that are there, and its bytes."""

    names: tuple[str, ...]
    content: bytes


@dataclass
class Disk:
    """One store's folder with one blob in it. `possible` says of each name whether it may be there, or not, or both."""

    blob: bytes
    possible: dict[str, set[bool]] = field(default_factory=dict)
    current: dict[str, bool] = field(default_factory=dict)
    length: int = 0
    synced: bool = True

    def take(self, steps: Iterable[Step]) -> None:
        for step in steps:
            if step.kind == "create":
                self._set(step.path, there=True)
            elif step.kind == "write":
                self.length, self.synced = self.length + step.size, False
            elif step.kind == "move":
                self._set(step.path, there=False)
                self._set(step.target, there=True)
            elif step.kind == "remove":
                self._set(step.path, there=False)
            elif step.kind == "sync":
                self._sync(step.path)

    def seen(self) -> State:
        """What everybody sees while the power is on."""
        return State(tuple(name for name, there in self.current.items() if there), self.blob[: self.length])

    def states(self) -> Iterator[State]:
        """What may be seen when it is on again."""
        for there in product(*self.possible.values()):
            names = tuple(name for name, is_there in zip(self.possible, there, strict=True) if is_there)
            for content in self._contents() if names else {b""}:
                yield State(names, content)

    def _contents(self) -> set[bytes]:
        written, half = self.blob[: self.length], self.blob[: self.length // 2]
        zeroes = bytes(self.length)
        return {written} if self.synced else {b"", half, half + zeroes[len(half) :], zeroes, written}

    def _set(self, name: str, *, there: bool) -> None:
        self.possible[name] = self.possible.get(name, {False}) | {there}
        self.current[name] = there

    def _sync(self, path: str) -> None:
        if path in self.current:
            self.synced = True
        for name in self.possible:
            if PurePosixPath(name).parent == PurePosixPath(path):
                self.possible[name] = {self.current[name]}


def steps(calls: Iterable[Call], store: Path) -> Iterator[Step]:
    """The steps on the store's folder among `calls`, and the database's commits between them."""
    log = 0
    for call in (call for call in calls if not call.failed):
        if call.name == "pwrite64" and "-wal>" in call.arguments:
            log = max(log, int(call.arguments.rpartition(", ")[2]) + (call.result or 0))
        elif call.name == "fdatasync" and "-wal>" in call.arguments:
            yield Step("commit", size=log)
        elif step := _on_store(call, f"{store}/"):
            yield step


def _on_store(call: Call, store: str) -> Step | None:
    inside = [path.removeprefix(store) for path in _PATH.findall(call.arguments) if path.startswith(store)]
    kind = _KINDS.get(call.name)
    if not inside or kind is None or (kind == "create" and "O_CREAT" not in call.arguments):
        return None
    return Step(kind, inside[0], inside[-1] if kind == "move" else "", (call.result or 0) if kind == "write" else 0)
