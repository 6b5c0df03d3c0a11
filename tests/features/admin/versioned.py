"""A key provider whose master key has versions, and which may be away."""

from typing import Any

from portal.backends.keys.base import KeyProviderError

from ...keyring.counting import CountingProvider


class Versioned(CountingProvider):
    """A provider whose master key has versions, and which may be away. The head of a wrap is the version."""

    newest = 1
    away = False

    async def wrap(self, *asked: Any) -> bytes:
        return self.newest.to_bytes(5, "big") + await super().wrap(*asked)

    async def unwrap(self, wrapped: bytes, *asked: Any) -> bytes:
        return await super().unwrap(wrapped[5:], *asked)

    def version_of(self, head: bytes) -> int | None:
        return int.from_bytes(head, "big")

    async def check(self) -> None:
        if self.away:
            raise KeyProviderError(reason="no answer in time")
