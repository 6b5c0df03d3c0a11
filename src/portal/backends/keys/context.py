"""The context to which a key service binds a wrapped data key (`docs/format.md` 1).

Comes in: the id of a master key, and a binding. Leaves: bytes that the service authenticates. Next: the providers send
them with each call.
"""

from hashlib import sha256

from portal.backends.keys.base import Binding, KeyProviderError
from portal.core.errors import IntegrityError
from portal.crypto.derive import KID_SIZE
from portal.crypto.wrap import data_key_context


class Context:
    """The contexts of one master key. `kid` names it in them."""

    def __init__(self, key_id: str) -> None:
        self.kid = sha256(key_id.encode()).digest()[:KID_SIZE]

    def of(self, binding: Binding) -> bytes:
        """The context. Raises KeyProviderError for a malformed scope."""
        try:
            return data_key_context(self.kid, binding.data_key_id, binding.scope)
        except IntegrityError:
            raise KeyProviderError(reason="the scope of the data key is malformed") from None
