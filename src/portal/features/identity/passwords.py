"""Password hashing: Argon2id by passlib, in threads, bounded in number. The only module that imports `passlib`.

Comes in: passwords. Leaves: hashes, or whether a password matches. A new password is refused for its length, for being
guessable, and for being its user's name; there is no other rule. An unknown user costs the same work as a wrong
password. The parameters are the second choice of RFC 9106 §4 (64 MiB, 3 passes). A few hashes run at once, some wait,
the rest are refused with 503 (`hashing_queue`). The strength check has a queue of its own and runs one at a time, so
that it delays no sign-in.
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
_PLACES = 32  # requests that are running or waiting, together

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
        """A salted hash to store, for the user `name`.

        Raises PasswordLength, PasswordGuessable, Unprocessable for text that is not valid Unicode, and Unavailable when
        too many requests are waiting.
        """
        secret = _encoded(password)
        if len(secret.decode()) < MIN_CHARACTERS or len(secret) > MAX_BYTES:
            raise PasswordLength
        if name_key(password) == name_key(name):
            raise PasswordGuessable
        if await _in_thread(self._checks, share, lambda: is_guessable(secret.decode())):
            raise PasswordGuessable
        return await _in_thread(self._turns, share, lambda: str(self._context.hash(secret)))

    async def verify(self, password: str, known: str | None, share: QueueShare = NOBODY) -> bool:
        """Whether the hash `known` is that of `password`. None stands for an unknown user: same work, always False.

        Raises Unprocessable, before any work, for a password over MAX_BYTES or text that is not valid Unicode.
        Raises Unavailable when too many requests are waiting.
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
    """The turn ends with the thread, not with a cancelled caller: a running thread cannot be stopped."""
    try:
        return await asyncio.to_thread(work)
    finally:
        turns.done()


def _encoded(password: str) -> bytes:
    try:
        return unicodedata.normalize("NFC", password).encode("utf-8")  # keyboards differ in how they encode é
    except UnicodeEncodeError:
        raise Unprocessable("A password must be valid Unicode text.") from None
