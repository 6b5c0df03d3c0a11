"""The check of a master key in a service: a key that is thrown away is wrapped and unwrapped.

Comes in: a `KeyProvider`. Leaves: nothing if it works; else the provider's own error, or a ConfigError for a master key
that opens a wrap without its binding. Next: the providers call it from their `check`.
"""

import os
from uuid import UUID

from portal.backends.keys.base import Binding, KeyProvider, KeyProviderError
from portal.core.errors import ConfigError
from portal.core.key_scopes import NO_CASE
from portal.core.secrets import KEY_BYTES

_BINDING, _OTHER = Binding(UUID(int=0), NO_CASE), Binding(UUID(int=1), NO_CASE)  # no data key has these ids


class Probe:
    """The checks of one provider. `advice` is for a master key that cannot bind a data key."""

    def __init__(self, provider: KeyProvider, advice: str) -> None:
        self._provider, self._advice = provider, advice
        self._is_bound = False

    async def run(self) -> None:
        """Wrap and unwrap; the first time also see that another binding does not open the wrap."""
        key = os.urandom(KEY_BYTES)
        wrapped = await self._provider.wrap(key, _BINDING)
        if await self._provider.unwrap(wrapped, _BINDING) != key:
            raise KeyProviderError(reason="the provider returned another key than it wrapped", transient=True)
        if not self._is_bound:
            await self._require_bound(wrapped)
            self._is_bound = True

    async def _require_bound(self, wrapped: bytes) -> None:
        try:
            await self._provider.unwrap(wrapped, _OTHER)
        except KeyProviderError as error:
            if error.transient:
                raise
            return
        raise ConfigError(f"PORTAL_KEY_URLS: {self._provider.key_id} cannot bind a data key: {self._advice}")
