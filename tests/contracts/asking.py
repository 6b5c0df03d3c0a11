"""What the suites of single key providers share: a data key and its binding, and two questions.

Comes in: a provider, or a call of one. Leaves: whether it works, or the error of the call. Next: `test_vault`,
`test_aws_kms` and the like; what every provider promises is in `test_key_provider`.
"""

from collections.abc import Awaitable
from uuid import UUID

import pytest

from portal.backends.keys.base import Binding, KeyProvider, KeyProviderError

BINDING = Binding(UUID(int=0xDA7A), "case:" + "0a" * 16)
KEY = bytes(range(32))


async def error_of(call: Awaitable[object]) -> KeyProviderError:
    with pytest.raises(KeyProviderError) as caught:
        await call
    return caught.value


async def works(provider: KeyProvider) -> bool:
    return await provider.unwrap(await provider.wrap(KEY, BINDING), BINDING) == KEY
