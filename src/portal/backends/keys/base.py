"""The port of key providers. Next: `guarded` bounds each call; `keyring` makes them, at most one in five minutes per
data key and process.
"""

from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from portal.core.errors import Unavailable

HEAD_BYTES = 5
"""The head of a wrapped data key. It is the same for all that one version of a master key wraps, and differs between
the versions of one master key.
"""


class KeyProviderError(Unavailable):
    """The provider is unavailable, refused, or returned something that cannot be the key.

    It is never reported as damage to files. A `transient` error may pass by itself: the guard tries again, and counts
    it against the provider. Any other is the provider's answer to this very call. A transient error is `denied` where
    the provider refuses the portal's credentials, or its key is disabled: only an operator can mend that, so that the
    guard does not try again and asks ever more seldom. `reason` and `missing`, the id of a master key that no provider
    has, are shown to operators only.
    """

    code, title = "key_provider_away", "The key provider did not return the key; try again."

    def __init__(
        self,
        detail: str | None = None,
        *,
        reason: str | None = None,
        missing: str | None = None,
        transient: bool = False,
        denied: bool = False,
    ) -> None:
        super().__init__(detail)
        self.reason, self.missing, self.transient, self.denied = reason, missing, transient, denied


@dataclass(frozen=True, slots=True)
class Binding:
    """The context of a wrapped data key. Every provider authenticates it, with its own key id, as associated data."""

    data_key_id: UUID
    scope: str


class KeyProvider(Protocol):
    """One master key, in this process or in a service. Implementations are safe for concurrent use.

    Every method raises KeyProviderError and nothing else; `check` also ConfigError, for what only an operator can mend.
    A method that waits has no time limit of its own: the guard cancels it. A cancelled call leaves nothing behind.
    """

    @property
    def key_id(self) -> str:
        """The id of the master key: unique among those configured, at most 200 characters, not a secret."""

    async def wrap(self, data_key: bytes, binding: Binding) -> bytes:
        """Wrap the 32 bytes of a data key for `binding`. Two wraps of one key may differ; each unwraps to that key."""

    async def unwrap(self, wrapped: bytes, binding: Binding) -> bytes:
        """The 32 bytes of the data key. Raises KeyProviderError for another binding or a changed bit."""

    def version_of(self, head: bytes) -> int | None:
        """The version of the master key that made wraps with this head; None where it has no versions, or none so."""

    async def check(self) -> None:
        """Raises KeyProviderError unless the provider could wrap and unwrap now."""

    async def aclose(self) -> None:
        """Close connections. Idempotent."""
