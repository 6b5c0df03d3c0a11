"""A data key, and how a provider unwraps it from its row.

Comes in: the row of a wrapped key, and the providers by the ids of their master keys. Leaves: a `DataKey`, which was
compared with the check value of its row. Next: `keyring` caches it.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from portal.backends.keys.base import Binding, KeyProvider, KeyProviderError
from portal.crypto import derive
from portal.keyring.repository import WrappedDataKey


@dataclass(frozen=True, slots=True)
class DataKey:
    """An unwrapped data key (32 bytes) of one scope."""

    id: UUID
    scope: str
    key: bytes = field(repr=False)


async def unwrapped(providers: Mapping[str, KeyProvider], row: WrappedDataKey, scope: str) -> DataKey:
    """The key of a row, by the provider that wrapped it. Raises KeyProviderError."""
    provider = providers.get(row.provider_key_id)
    if provider is None:
        text = "The master key that wraps this data key is not configured."
        raise KeyProviderError(text, missing=row.provider_key_id)
    key = await provider.unwrap(row.wrapped, Binding(row.id, scope))
    if len(key) != derive.KEY_SIZE or not hmac.compare_digest(derive.data_key_check(key, row.id), row.check_value):
        raise KeyProviderError(reason="what it unwrapped is not the data key")
    return DataKey(row.id, scope, key)
