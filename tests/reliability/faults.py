"""One operation of a driven portal, run again and again under faults, and judged after each run.

Comes in: a driver and what strace is to do. Leaves: assertions, and a count of what was seen.
"""

import hashlib
import random
import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import invariants, strace
from .driven import Driven
from .strace import Call

LARGE, SMALL, TINY = 2_300_000, 70_000, 10  # bytes: three segments (two go past the page cache), one, next to none
RANGE = (1_000, 2_000)  # start, length
FORESEEN = {"blob_store_away", "database_away", "storage_full", "unavailable"}


@dataclass
class Bench:
    """`kept` is a large file that stays, `spare` a small one that may go; `base` what was open in the beginning."""

    driver: Driven
    operation: str
    trace: Path
    acknowledged: dict[str, str]
    kept: str
    spare: str
    base: list[str]
    runs: int = 0
    seen: Counter[str] = field(default_factory=Counter)

    def calls(self, among: Sequence[str]) -> list[str]:
        """The kinds of calls that the operation makes."""
        arguments = self._arguments()
        answer, calls = self._traced(arguments, among, None)
        assert answer["ok"], answer
        self._judge(arguments, answer, calls)
        return [kind for kind in among if kind in {call.name for call in calls}]

    def run(self, inject: str) -> bool:
        """Whether anything was left to fail."""
        self.runs += 1
        arguments = self._arguments()
        kinds = {*inject.partition(":")[0].split(","), "fsync", "rename"}
        answer, calls = self._traced(arguments, sorted(kinds), inject)
        failed = any(call.injected for call in calls)
        assert failed or answer["ok"], answer
        self._judged(inject, arguments, answer, calls)
        return failed

    def cut(self, limit: int, *, blob: bool) -> dict[str, Any]:
        """An upload while no file may grow over `limit`; only once the blob was begun, if that is what is to be cut."""
        self.runs += 1
        with closing(sqlite3.connect(self.driver.portal.folder / "var" / "portal.db")) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # the log grows from nothing
        if not blob:
            self.driver.limit_files(limit)
        arguments = (LARGE, limit) if blob else (TINY,)
        answer = self.driver.ask("upload", *arguments)
        self.driver.limit_files()
        self._judged(f"files of {limit} bytes", arguments, answer, [])
        return answer

    def assert_whole(self) -> None:
        """Look at every byte, from a second process."""
        portal = self.driver.portal
        invariants.assert_whole(portal, invariants.settled(portal), self.acknowledged)

    def _arguments(self) -> tuple[Any, ...]:
        """The operation's, after what it needs was laid out."""
        if self.operation == "sweep":
            self.driver.do("strand_delete", self._spent())
            self.driver.do("strand", SMALL)
        return {
            "upload": (LARGE,),
            "upload_small": (TINY,),
            "download": (self.kept,),
            "range": (self.kept, *RANGE),
            "delete": (self.spare,),
        }.get(self.operation, ())

    def _traced(
        self, arguments: tuple[Any, ...], calls: Sequence[str], inject: str | None
    ) -> tuple[dict[str, Any], list[Call]]:
        verb = "download" if self.operation == "range" else self.operation
        with strace.traced(self.driver.pid, self.trace, calls=[f"?{call}" for call in calls], inject=inject):
            answer = self.driver.ask(verb, *arguments)
        return answer, strace.read(self.trace)

    def _judged(self, fault: str, arguments: tuple[Any, ...], answer: dict[str, Any], calls: list[Call]) -> None:
        try:
            self._judge(arguments, answer, calls)
        except AssertionError as error:
            error.add_note(f"after {self.operation} with {fault}: {answer}")
            raise
        self.seen["answered" if answer["ok"] else f"refused_{answer['code']}"] += 1

    def _judge(self, arguments: tuple[Any, ...], answer: dict[str, Any], calls: list[Call]) -> None:
        injected = [call for call in calls if call.injected]
        assert "unforeseen" not in answer
        assert answer["ok"] or answer["code"] in FORESEEN
        told = [line for line in answer["told"] if "audit_event_held" not in line]  # which the next replay writes
        assert told == []
        assert_no_sync_is_tried_again(calls)
        self._let_go([call for call in injected if call.name == "close"])
        self._follow(arguments, answer)
        self._settle()
        self._hold()
        self._go_on()

    def _let_go(self, kept_open: list[Call]) -> None:
        """strace keeps a call that it fails from the kernel, which would have closed the descriptor all the same."""
        numbers = {int(call.arguments.partition("<")[0]) for call in kept_open}
        if still := numbers & set(self.driver.descriptors()):
            self.driver.do("let_go", *still)

    def _follow(self, arguments: tuple[Any, ...], answer: dict[str, Any]) -> None:
        """An answer that says it was done is true, and on our own record from now on."""
        if self.operation == "delete":
            self._follow_delete(answer)
        if not answer["ok"]:
            return
        if self.operation in {"upload", "upload_small"}:
            assert answer["sha256"] == digest(arguments[0])
            self.acknowledged[answer["id"]] = answer["sha256"]
            assert self.driver.do("download", answer["id"])["sha256"] == answer["sha256"]
        if self.operation in {"download", "range"}:
            assert answer["sha256"] == digest(LARGE, *arguments[1:])
        if self.operation == "sweep" and answer["settled"] == 2:
            self._hold()
        if self.operation == "fsck":
            assert {problem.removeprefix("not checked: ") for problem in answer["problems"]} <= FORESEEN

    def _follow_delete(self, answer: dict[str, Any]) -> None:
        gone = self.spare not in self.driver.do("held")["listed"]
        assert gone or not answer["ok"]
        assert answer["ok"] or not gone or answer["code"] == "database_away"
        if not gone:
            self.driver.do("delete", self.spare)
        self._spent()

    def _spent(self) -> str:
        """The spare file is not there any more."""
        del self.acknowledged[self.spare]
        return self.spare

    def _settle(self) -> None:
        """A sweep; another one where the first met a connection to the database that had met the fault."""
        answer = self.driver.ask("sweep")
        if not answer["ok"]:
            assert answer.get("code") in FORESEEN, answer
            self.seen["swept_twice"] += 1
            self.driver.do("sweep")

    def _hold(self) -> None:
        """Rows and store hold what was acknowledged, and nothing else."""
        held = self.driver.do("held")
        assert held["damaged"] == 0
        assert held["stuck"] == []
        assert held["named"] == held["stored"]
        in_doubt = {file: held["listed"][file] for file in held["listed"].keys() - self.acknowledged.keys()}
        assert held["listed"] == self.acknowledged | in_doubt
        assert in_doubt == {}

    def _go_on(self) -> None:
        """The next file goes in and comes out, and then nothing more is open than in the beginning."""
        if self.spare in self.acknowledged and self.operation == "fsck":
            self.driver.do("delete", self._spent())
        answer = self.driver.do("upload", SMALL)
        self.spare = answer["id"]
        self.acknowledged[self.spare] = digest(SMALL)
        assert self.driver.do("download", self.spare)["sha256"] == digest(SMALL)
        now = sorted(self.driver.descriptors().values())
        assert now == self.base, (Counter(now) - Counter(self.base), Counter(self.base) - Counter(now))


def prepared(driver: Driven, operation: str, trace: Path) -> Bench:
    """A bench with its files handed in, after every verb was used once: what is loaded late is loaded then."""
    driver.do("strand", SMALL)
    driver.do("sweep")
    driver.do("delete", driver.do("upload", SMALL)["id"])
    driver.do("delete", driver.do("upload_small", TINY)["id"])
    kept, spare = (driver.do("upload", size)["id"] for size in (LARGE, SMALL))
    for file in (kept, spare):
        driver.do("download", file)
    assert driver.do("fsck")["problems"] == []
    base = sorted(driver.descriptors().values())
    return Bench(driver, operation, trace, {kept: digest(LARGE), spare: digest(SMALL)}, kept, spare, base)


def digest(size: int, start: int = 0, length: int | None = None) -> str:
    """Of the noise that the driver hands in."""
    noise = random.Random(size).randbytes(size)  # noqa: S311  # noise, no secret
    return hashlib.sha256(noise[start:][:length]).hexdigest()


def assert_no_sync_is_tried_again(calls: list[Call]) -> None:
    """A file of the store that could not be synced is given up: no second fsync, and no place among the blobs."""
    for failed in (call for call in calls if call.name == "fsync" and call.failed and "/store/tmp/" in call.arguments):
        path = failed.arguments.partition("<")[2].removesuffix(">")
        later = [call for call in calls if call.began > failed.ended and call.name in {"fsync", "rename"}]
        assert [call for call in later if path in call.arguments] == []
