"""What every key provider promises. A new provider is one line in PROVIDERS, or in SERVICES where it has a server."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr

from portal.backends.keys.base import HEAD_BYTES, Binding, KeyProvider, KeyProviderError
from portal.backends.keys.guarded import GuardedKeyProvider
from portal.backends.keys.local import LocalKeyProvider
from portal.backends.keys.pkcs11 import Pkcs11Key
from portal.backends.keys.pkcs11_settings import KeyAddress, Pkcs11Settings
from portal.backends.keys.registry import SCHEMES, open_key_providers
from portal.backends.keys.vault import VaultTransit
from portal.backends.keys.vault_settings import VaultAddress, VaultSettings
from portal.core.errors import ConfigError, IntegrityError

from ..own_openbao import OwnOpenBao
from ..own_softhsm import PIN, OwnSoftHsm

MASTER = "5c" * 32
PROVIDERS: dict[str, Callable[[], KeyProvider]] = {
    "env": lambda: LocalKeyProvider.from_environment("MASTER", {"MASTER": MASTER}),
    "file": lambda: opened_file(MASTER),
    "memory": LocalKeyProvider.random,
    "guarded": lambda: GuardedKeyProvider(LocalKeyProvider.random()),
}
KEY = bytes(range(32))
BINDING = Binding(UUID(int=0xDA7A), "case:" + "0a" * 16)
OTHER_BINDINGS = {
    "another id": replace(BINDING, data_key_id=UUID(int=0xDA7B)),
    "another case": replace(BINDING, scope="case:" + "0b" * 16),
    "no case": replace(BINDING, scope="none"),
    "no scope at all": replace(BINDING, scope="anything"),
}


def key_file(folder: Path, key: str) -> str:
    """The URL of a new file with this key."""
    path = folder / key[:8]
    path.touch(0o600)
    path.write_text(f"{key}\n")
    return path.as_uri()


def opened_file(key: str) -> KeyProvider:
    with TemporaryDirectory() as folder:  # a provider reads its file once
        return LocalKeyProvider.from_file(key_file(Path(folder), key))


def vault(request: pytest.FixtureRequest) -> KeyProvider:
    server: OwnOpenBao = request.getfixturevalue("openbao")
    settings = VaultSettings(vault_token=SecretStr(server.token()))
    return VaultTransit(VaultAddress.parse(server.url.removeprefix("vault-transit:")), settings)


def token(request: pytest.FixtureRequest) -> KeyProvider:
    hsm: OwnSoftHsm = request.getfixturevalue("softhsm")
    address = KeyAddress.parse(hsm.url("portal", "master").removeprefix("pkcs11:"))
    return Pkcs11Key(address, Pkcs11Settings(pkcs11_pin=SecretStr(PIN)))


def gcp_kms(request: pytest.FixtureRequest) -> KeyProvider:
    return opened("gcp-kms", request.getfixturevalue("fake_gcp_kms"))


def azure_keyvault(request: pytest.FixtureRequest) -> KeyProvider:
    return opened("azure-keyvault", request.getfixturevalue("fake_managed_hsm"))


def opened(scheme: str, server: Any) -> KeyProvider:
    """The provider for a fake, not guarded."""
    return SCHEMES[scheme].open(server.url.removeprefix(f"{scheme}:"), server.variables)


def aws(request: pytest.FixtureRequest) -> KeyProvider:
    return opened("aws-kms", request.getfixturevalue("moto_server"))


STEPS = {"pkcs11": 1, "vault-transit": 7, "gcp-kms": 7, "azure-keyvault": 7, "aws-kms": 23}  # each call is a request
SERVICES: dict[str, Callable[[pytest.FixtureRequest], KeyProvider]] = {
    "pkcs11": token,
    "vault-transit": vault,
    "gcp-kms": gcp_kms,
    "azure-keyvault": azure_keyvault,
    "aws-kms": aws,
}


def has_versions(provider: KeyProvider) -> bool:
    """Whether the wraps of its master key tell a version."""
    return provider.key_id.startswith(("vault-transit:", "gcp-kms:", "azure-keyvault:"))


@pytest.fixture(params=[*PROVIDERS, *SERVICES])
async def provider(request: pytest.FixtureRequest) -> AsyncIterator[KeyProvider]:
    made = SERVICES[request.param](request) if request.param in SERVICES else PROVIDERS[request.param]()
    await made.check()
    yield made
    await made.aclose()


@pytest.mark.parametrize("binding", [BINDING, replace(BINDING, scope="none")], ids=lambda binding: binding.scope)
async def test_unwrap_gives_the_key(provider: KeyProvider, binding: Binding) -> None:
    assert await provider.unwrap(await provider.wrap(KEY, binding), binding) == KEY


async def test_two_wraps_differ_and_both_open(provider: KeyProvider) -> None:
    one, two = await provider.wrap(KEY, BINDING), await provider.wrap(KEY, BINDING)
    assert one != two
    assert await provider.unwrap(one, BINDING) == await provider.unwrap(two, BINDING) == KEY


async def test_a_wrap_shows_no_key(provider: KeyProvider) -> None:
    wrapped = await provider.wrap(KEY, BINDING)
    assert KEY not in wrapped
    assert all(KEY[at : at + 4] not in wrapped for at in range(29))


@pytest.mark.parametrize("binding", OTHER_BINDINGS.values(), ids=list(OTHER_BINDINGS))
async def test_a_wrap_opens_for_its_own_binding_alone(provider: KeyProvider, binding: Binding) -> None:
    wrapped = await provider.wrap(KEY, BINDING)
    with pytest.raises(KeyProviderError):
        await provider.unwrap(wrapped, binding)


async def refuses(provider: KeyProvider, wrapped: bytes) -> bool:
    try:
        await provider.unwrap(wrapped, BINDING)
    except KeyProviderError:
        return True
    return False


async def test_every_changed_bit_is_refused(provider: KeyProvider) -> None:
    wrapped = await provider.wrap(KEY, BINDING)
    for bit in range(0, len(wrapped) * 8, STEPS.get(provider.key_id.partition(":")[0], 1)):
        changed = (int.from_bytes(wrapped, "big") ^ 1 << bit).to_bytes(len(wrapped), "big")
        assert await refuses(provider, changed), bit
    assert not await refuses(provider, wrapped)


async def test_every_other_length_is_refused(provider: KeyProvider) -> None:
    wrapped = await provider.wrap(KEY, BINDING)
    for cut in range(len(wrapped)):
        assert await refuses(provider, wrapped[:cut])
    assert await refuses(provider, wrapped + b"\0")
    assert await refuses(provider, wrapped * 2)


async def test_the_wrap_of_another_master_key_is_refused(provider: KeyProvider) -> None:
    other = LocalKeyProvider.random()
    assert await refuses(provider, await other.wrap(KEY, BINDING))
    with pytest.raises(KeyProviderError):
        await other.unwrap(await provider.wrap(KEY, BINDING), BINDING)


async def test_damage_to_a_wrap_is_no_alarm_about_files(provider: KeyProvider) -> None:
    with pytest.raises(KeyProviderError) as caught:
        await provider.unwrap(b"", BINDING)
    assert not isinstance(caught.value, IntegrityError)
    assert caught.value.status == 503
    assert caught.value.retry_after


async def test_many_calls_at_once(provider: KeyProvider) -> None:
    keys = [bytes([n]) * 32 for n in range(20)]
    wrapped = await asyncio.gather(*(provider.wrap(key, BINDING) for key in keys))
    assert await asyncio.gather(*(provider.unwrap(one, BINDING) for one in wrapped)) == keys


async def test_a_key_id_is_stable_short_and_plain(provider: KeyProvider) -> None:
    before = provider.key_id
    await provider.wrap(KEY, BINDING)
    assert provider.key_id == before
    assert 0 < len(before) <= 200
    assert before.isascii()
    assert before.isprintable()


async def test_no_two_master_keys_share_a_key_id(provider: KeyProvider) -> None:
    others = [LocalKeyProvider.random() for _ in range(50)]
    assert len({other.key_id for other in others} | {provider.key_id}) == 51


async def test_the_head_of_a_wrap_tells_the_version_of_its_master_key(provider: KeyProvider) -> None:
    heads = {(await provider.wrap(KEY, replace(BINDING, data_key_id=UUID(int=n))))[:HEAD_BYTES] for n in range(3)}
    (head,) = heads
    version = provider.version_of(head)
    assert version is None if not has_versions(provider) else version in {1, int.from_bytes(head[1:], "big")}
    assert provider.version_of(b"") is None


async def test_closing_twice_is_fine(provider: KeyProvider) -> None:
    await provider.aclose()
    await provider.aclose()


@pytest.mark.parametrize("later", ["env", "file"])
async def test_the_same_key_opens_what_it_wrapped_after_a_restart_and_in_a_file(later: str) -> None:
    before, after = PROVIDERS["env"](), PROVIDERS[later]()
    assert before.key_id == after.key_id == "16d51bbb4b86ad7a"
    assert await after.unwrap(await before.wrap(KEY, BINDING), BINDING) == KEY


@pytest.mark.parametrize("kind", ["env", "file"])
def test_a_provider_shows_no_master_key(kind: str) -> None:
    provider = PROVIDERS[kind]()
    assert MASTER not in repr(provider) + str(vars(provider)) + provider.key_id
    assert MASTER[:8] not in provider.key_id


def test_the_registry_opens_providers_in_order(tmp_path: Path) -> None:
    environ = {"ONE": "01" * 32, "TWO": "02" * 32}
    files = [key_file(tmp_path, "03" * 32), key_file(tmp_path, "04" * 32)]
    opened = open_key_providers(["env:TWO", "memory:", files[0], "env:ONE", files[1]], environ)
    assert all(isinstance(provider, GuardedKeyProvider) for provider in opened)
    two, random, three, one, four = (provider.key_id for provider in opened)
    assert two == LocalKeyProvider.from_environment("TWO", environ).key_id
    assert one == LocalKeyProvider.from_environment("ONE", environ).key_id
    assert [three, four] == [LocalKeyProvider.from_file(url).key_id for url in files]
    assert len({one, two, three, four, random}) == 5


@pytest.mark.parametrize("value", [None, "", "changeme", "5c" * 31, "5c" * 33, "canary-" * 9])
def test_a_variable_without_a_key_is_named_and_its_value_is_not(value: str | None) -> None:
    environ = {} if value is None else {"MASTER_KEY": value}
    with pytest.raises(ConfigError, match="MASTER_KEY") as caught:
        open_key_providers(["env:MASTER_KEY"], environ)
    assert not value or value not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("url", ["kms:alias/portal", "vault://x", "ENV:ONE", ":ONE", " env:ONE"])
def test_an_unknown_scheme_is_refused_with_what_is_known(url: str) -> None:
    with pytest.raises(ConfigError, match=f"PORTAL_KEY_URLS.*known: {', '.join(sorted(SCHEMES))}"):
        open_key_providers(["env:ONE", url], {"ONE": MASTER})


def test_the_same_master_key_twice_is_refused(tmp_path: Path) -> None:
    for again in ("env:TWO", key_file(tmp_path, MASTER)):
        with pytest.raises(ConfigError, match="twice"):
            open_key_providers(["env:ONE", again], {"ONE": MASTER, "TWO": MASTER.upper()})


def test_a_file_without_a_key_is_named_and_its_text_is_not(tmp_path: Path) -> None:
    url = key_file(tmp_path, "canary-" * 9)
    with pytest.raises(ConfigError, match=f"^{re.escape(url)} must hold") as caught:
        open_key_providers([url], {})
    assert "canary-" * 9 not in str(caught.value)


def test_no_provider_at_all_is_refused() -> None:
    with pytest.raises(ConfigError, match="no key provider"):
        open_key_providers([], {"ONE": MASTER})
