"""The check of a master key in a service: it must open what it wraps, and for its own binding alone."""

import pytest

from portal.backends.keys.base import Binding, KeyProviderError
from portal.backends.keys.local import LocalKeyProvider
from portal.backends.keys.probe import Probe
from portal.core.errors import ConfigError

from ..keyring.counting import CountingProvider


class Unbound(CountingProvider):
    """It keeps the last key and opens it for every binding."""

    async def wrap(self, data_key: bytes, binding: Binding) -> bytes:
        self.kept = data_key
        return await super().wrap(data_key, binding)

    async def unwrap(self, _wrapped: bytes, _binding: Binding) -> bytes:
        return self.kept


class Another(CountingProvider):
    async def unwrap(self, wrapped: bytes, binding: Binding) -> bytes:
        return bytes(len(await super().unwrap(wrapped, binding)))


class AwayForOthers(CountingProvider):
    """It goes away when it is asked about another binding."""

    async def unwrap(self, wrapped: bytes, binding: Binding) -> bytes:
        try:
            return await super().unwrap(wrapped, binding)
        except KeyProviderError:
            raise KeyProviderError(transient=True) from None


async def test_a_master_key_that_works_is_asked_about_another_binding_once() -> None:
    provider = CountingProvider()
    probe = Probe(provider, "make another")
    for _ in range(3):
        await probe.run()
    assert provider.calls == {"wrap": 3, "unwrap": 4}


async def test_a_master_key_that_cannot_bind_is_refused_each_time() -> None:
    provider = Unbound()
    probe = Probe(provider, "make another")
    for _ in range(2):
        with pytest.raises(ConfigError, match=rf"^PORTAL_KEY_URLS: {provider.key_id} cannot bind .*: make another$"):
            await probe.run()


@pytest.mark.parametrize("provider", [Another(), AwayForOthers()], ids=["another key", "away"])
async def test_an_answer_that_proves_nothing_is_a_provider_that_is_away(provider: CountingProvider) -> None:
    probe = Probe(provider, "make another")
    for _ in range(2):
        with pytest.raises(KeyProviderError) as caught:
            await probe.run()
        assert caught.value.transient


async def test_a_master_key_in_this_process_passes() -> None:
    await Probe(LocalKeyProvider.random(), "make another").run()
