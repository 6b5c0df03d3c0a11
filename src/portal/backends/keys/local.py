"""`env:NAME` and `file:/path`: a master key in this process, from a variable or a file (`docs/format.md` 1).

Comes in: the 32 bytes. Leaves: wrapped data keys that name their master key by `kid`, so a key may move from a variable
to a file. `memory:` is the same with a random key: everything sealed under it is lost when the process ends, so it is
for tests only.
"""

import os
from collections.abc import Mapping
from typing import Self

from portal.backends.keys.base import Binding, KeyProviderError
from portal.core.errors import ConfigError, IntegrityError
from portal.core.key_files import read_key_file
from portal.core.secrets import KEY_BYTES, Secret, parse_key
from portal.crypto import derive, wrap


class LocalKeyProvider:
    """A `KeyProvider` whose master key is in the memory of this process."""

    def __init__(self, master_key: Secret) -> None:
        self._master = master_key
        self._kid = derive.master_key_id(master_key.reveal())

    @classmethod
    def from_environment(cls, name: str, environ: Mapping[str, str]) -> Self:
        """The provider with the key in variable `name`. Raises ConfigError, which names the variable, not its value."""
        return cls(_parsed(name, environ.get(name, "")))

    @classmethod
    def from_file(cls, url: str) -> Self:
        """The provider with the key in the file of a `file:` URL. Raises ConfigError, which names the file alone."""
        return cls(_parsed(url, read_key_file(url)))

    @classmethod
    def random(cls) -> Self:
        return cls(Secret(os.urandom(KEY_BYTES)))

    @property
    def key_id(self) -> str:
        return self._kid.hex()

    @property
    def master_key(self) -> Secret:
        return self._master

    async def wrap(self, data_key: bytes, binding: Binding) -> bytes:
        return wrap.wrap_data_key(data_key, self._master.reveal(), self._context(binding))

    async def unwrap(self, wrapped: bytes, binding: Binding) -> bytes:
        try:
            return wrap.unwrap_data_key(wrapped, self._master.reveal(), self._context(binding))
        except IntegrityError:
            raise KeyProviderError(reason="the wrapped data key does not open") from None

    def version_of(self, _head: bytes) -> None:
        """None: a key in memory has no versions."""

    async def check(self) -> None:
        """No-op: a key in memory is always available."""

    async def aclose(self) -> None:
        """No-op: there are no connections."""

    def _context(self, binding: Binding) -> bytes:
        return wrap.data_key_context(self._kid, binding.data_key_id, binding.scope)


def _parsed(source: str, text: str) -> Secret:
    key = parse_key(text)
    if key is None:
        raise ConfigError(f"{source} must hold {KEY_BYTES} bytes as 64 hex digits or as base64")
    return key
