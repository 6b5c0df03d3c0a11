"""Clients that go on whatever happens: each hands in, reads back, lists and downloads, and repeats what was refused.

Comes in: a portal that serves. Leaves: what was acknowledged, and how often each request was answered how. An answer is
a success that is true, or a refusal that says when to come again; anything else ends the crowd and fails its test.
"""

import hashlib
import secrets
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Self

import httpx

from ..e2e.seen import problem

_PATIENCE_SECONDS = 60  # for an answer, and for the crowd to get further
_PAUSE_SECONDS = 0.05  # before a refused request is repeated
_TRIES = 1_000
_SIZES = (0, 1, 5_000, 200_000, 1_500_000)  # the last one has two segments
_REFUSALS = ((503, "database_away"), (409, "idempotency_in_flight"))


class _AbandonedError(Exception):
    """The test failed: what the clients are at has no meaning any more."""


class Crowd:
    """`many` clients of one account, from `with` to its end; then each still ends what it is at."""

    def __init__(self, client: httpx.Client, many: int = 6) -> None:
        self.acknowledged: dict[str, str] = {}
        self.answers: Counter[tuple[str, int]] = Counter()
        self._client = client
        self._turns = [0] * many
        self._over, self._abandoned = threading.Event(), threading.Event()
        self._changed = threading.Condition()
        self._threads = ThreadPoolExecutor(many)
        self._going = [self._threads.submit(self._go, number) for number in range(many)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if error is not None:
            self._abandoned.set()
        self._over.set()
        self._threads.shutdown()
        for client in self._going:
            with suppress(_AbandonedError):
                client.result()

    def counted(self, status: int) -> int:
        """How many answers had this status."""
        return sum(times for (_, given), times in list(self.answers.items()) if given == status)

    def until(self, seen: Callable[[], bool]) -> None:
        """Wait for what the clients' progress brings about."""
        with self._changed:
            self._changed.wait_for(lambda: seen() or self._over.is_set(), _PATIENCE_SECONDS)
        assert not self._over.is_set(), "a client failed"
        assert seen(), f"the clients got no further: {self.answers}"

    def until_everyone_was_served(self) -> None:
        """Each client has made a whole turn from here on."""
        before = list(self._turns)
        self.until(lambda: all(now > then + 1 for now, then in zip(self._turns, before, strict=True)))

    def _go(self, number: int) -> None:
        try:
            while not self._over.is_set():
                self._turn(_SIZES[(self._turns[number] + number) % len(_SIZES)])
                self._turns[number] += 1
        finally:
            self._over.set()  # where it failed, nobody is to wait for it
            with self._changed:
                self._changed.notify_all()

    def _turn(self, size: int) -> None:
        content = secrets.token_bytes(size) + secrets.token_bytes(16)
        digest = hashlib.sha256(content).hexdigest()
        file = self._handed_in(content, digest)
        entry = self._answered("entry", "GET", f"/files/{file}")
        assert (entry.status_code, entry.json()["sha256"]) == (200, digest)
        page = self._answered("list", "GET", "/files", params={"sha256": digest})
        assert [item["id"] for item in page.json()["items"]] == [file]
        got = self._answered("download", "GET", f"/files/{file}/content")
        assert (got.status_code, got.content == content) == (200, True)

    def _handed_in(self, content: bytes, digest: str) -> str:
        key = {"Idempotency-Key": secrets.token_urlsafe(24)}
        answer = self._answered("upload", "PUT", f"/upload/{digest}", content=content, headers=key)
        assert (answer.status_code, answer.json()["sha256"]) == (201, digest)
        file: str = answer.json()["id"]
        self.acknowledged[file] = digest
        return file

    def _answered(self, what: str, method: str, path: str, **more: object) -> httpx.Response:
        """The first answer that is none of the refusals which tell to come again."""
        for _ in range(_TRIES):
            answer = self._client.request(method, path, timeout=_PATIENCE_SECONDS, **more)  # type: ignore[arg-type]
            with self._changed:
                self.answers[what, answer.status_code] += 1
                self._changed.notify_all()
            if answer.is_success:
                return answer
            assert problem(answer) in _REFUSALS, answer.text
            assert answer.headers["retry-after"].isdigit()
            if self._abandoned.wait(_PAUSE_SECONDS):
                raise _AbandonedError
        raise AssertionError(f"{what} was refused for ever: {self.answers}")
