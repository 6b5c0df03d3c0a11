"""Passwords: Argon2id through passlib's API, off the event loop and bounded in number. The only door to `passlib`.

Comes in: texts. Leaves: hashes, yes or no; a new password is refused for its length, for being guessable, for being
its user's name, and for nothing else. An unknown user costs the same work as a wrong password. The parameters are
RFC 9106 §4's second choice (64 MiB, 3 passes): a few run at once, some wait, the rest get 503 (`turns`). Whether a
password can be guessed is judged in a queue of its own, one at a time: that keeps no sign-in waiting.
"""

import asyncio
import unicodedata
from collections.abc import Callable
from typing import TypeVar

from passlib.context import CryptContext

from portal.core.errors import Unprocessable
from portal.core.tasks import shielded
from portal.features.identity.hashing_queue import NOBODY, HashingQueue, QueueShare
from portal.features.identity.names import name_key
from portal.features.identity.password_strength import is_guessable

MIN_CHARACTERS = 12
MAX_BYTES = 1024
_AT_ONCE = 2
_PLACES = 32  # of those at work and those that wait, together

_T = TypeVar("_T")


class PasswordLength(Unprocessable):
    code = "password_length"
    title = f"A password has {MIN_CHARACTERS} characters or more and at most {MAX_BYTES} bytes."


class PasswordGuessable(Unprocessable):
    code, title = "password_guessable", "That password is among the first that anybody would guess; choose another."


class PasswordHasher:
    """Safe for concurrent use by the tasks of one event loop."""

    def __init__(self, *, memory_kib: int = 65_536, passes: int = 3, lanes: int = 4) -> None:
        self._context = CryptContext(
            schemes=["argon2"],
            argon2__type="ID",
            argon2__memory_cost=memory_kib,
            argon2__time_cost=passes,
            argon2__parallelism=lanes,
        )
        self._turns = HashingQueue(_AT_ONCE, _PLACES)
        self._checks = HashingQueue(1, _PLACES)
        self._decoy: str | None = None

    async def hash(self, password: str, *, name: str = "", share: QueueShare = NOBODY) -> str:
        """A salted hash to keep, for the user `name`. Raises PasswordLength, PasswordGuessable, Unavailable."""
        secret = _encoded(password)
        if len(secret.decode()) < MIN_CHARACTERS or len(secret) > MAX_BYTES:
            raise PasswordLength
        if name_key(password) == name_key(name):
            raise PasswordGuessable
        if await _in_thread(self._checks, share, lambda: is_guessable(secret.decode())):
            raise PasswordGuessable
        return await _in_thread(self._turns, share, lambda: str(self._context.hash(secret)))

    async def verify(self, password: str, known: str | None, share: QueueShare = NOBODY) -> bool:
        """Whether `password` made `known`; None stands for an unknown user and is never right.

        Raises Unprocessable over MAX_BYTES before any work, Unavailable when too many are waiting.
        """
        secret = _encoded(password)
        if len(secret) > MAX_BYTES:
            raise Unprocessable(f"A password has at most {MAX_BYTES} bytes.")
        if self._decoy is None:
            self._decoy = await _in_thread(self._turns, share, lambda: str(self._context.hash(b"nobody's password")))
        against = known or self._decoy
        right = await _in_thread(self._turns, share, lambda: bool(self._context.verify(secret, against)))
        return right and known is not None


async def _in_thread(turns: HashingQueue, share: QueueShare, work: Callable[[], _T]) -> _T:
    await turns.take(share)
    return await shielded(_at_work(turns, work))


async def _at_work(turns: HashingQueue, work: Callable[[], _T]) -> _T:
    """The turn is over when the thread has ended, not when whoever asked has left: no thread can be stopped."""
    try:
        return await asyncio.to_thread(work)
    finally:
        turns.done()


def _encoded(password: str) -> bytes:
    try:
        return unicodedata.normalize("NFC", password).encode("utf-8")  # keyboards differ in how they write é
    except UnicodeEncodeError:
        raise Unprocessable("A password must be valid Unicode text.") from None
