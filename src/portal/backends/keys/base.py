"""The port of key providers. Next: `keyring` calls it, at most once in five minutes per data key and process."""

from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from portal.core.errors import Unavailable


class KeyProviderError(Unavailable):
    """The provider is away, refused, or answered with what cannot be the key. Never an alarm about files.

    `missing` is the id of a master key that no provider has, for operators alone.
    """

    code, title = "key_provider_away", "The key provider did not give the key; try again."

    def __init__(self, detail: str | None = None, *, missing: str | None = None) -> None:
        super().__init__(detail)
        self.missing = missing


@dataclass(frozen=True, slots=True)
class Binding:
    """What a wrapped data key belongs to. Every provider binds it, with its own key id, as associated data."""

    data_key_id: UUID
    scope: str


class KeyProvider(Protocol):
    """One master key, somewhere. Implementations are safe for concurrent use.

    Every verb raises KeyProviderError and nothing else; cancelling a call leaves nothing behind.
    """

    @property
    def key_id(self) -> str:
        """Names the master key, unique among those configured, at most 200 characters, not a secret."""

    async def wrap(self, data_key: bytes, binding: Binding) -> bytes:
        """Wrap 32 bytes for `binding`. Two wraps of one key may differ; each unwraps to it."""

    async def unwrap(self, wrapped: bytes, binding: Binding) -> bytes:
        """The 32 bytes that `wrap` was given. Raises KeyProviderError for another binding or a changed bit."""

    async def check(self) -> None:
        """Raises KeyProviderError unless the provider could wrap and unwrap now."""

    async def aclose(self) -> None:
        """Let go of connections. Idempotent."""
