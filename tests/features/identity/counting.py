"""A hashing library that counts what it is asked, and can be made to wait as if it were computing."""

import asyncio
import threading
from collections import Counter
from typing import Any


class Context:
    """See `PasswordHasher`: stands in for its library, hands on to it, and waits for `gate` first."""

    def __init__(self, inner: Any) -> None:
        self._inner, self._lock, self._loop = inner, threading.Lock(), asyncio.get_running_loop()
        self.gate, self._two_inside = threading.Event(), asyncio.Event()
        self.calls: Counter[str] = Counter()
        self.inside = self.most_inside = 0
        self.gate.set()

    async def is_busy(self) -> None:
        """Two are at work; a test that waits for them in vain fails."""
        async with asyncio.timeout(30):
            await self._two_inside.wait()

    def hash(self, secret: bytes) -> str:
        return str(self._work("hash", secret))

    def verify(self, secret: bytes, known: str) -> bool:
        return bool(self._work("verify", secret, known))

    def _work(self, name: str, *arguments: object) -> object:
        with self._lock:
            self.calls[name] += 1
            self.inside += 1
            self.most_inside = max(self.most_inside, self.inside)
            if self.inside == 2:
                self._loop.call_soon_threadsafe(self._two_inside.set)
        self.gate.wait()
        with self._lock:
            self.inside -= 1
        return getattr(self._inner, name)(*arguments)
