"""The list of key providers. A new provider is a file in this folder and a line in `SCHEMES`."""

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from portal.backends.keys import (
    aws_settings,
    azure_keyvault_settings,
    gcp_kms_settings,
    pkcs11_settings,
    vault_settings,
)
from portal.backends.keys.aws_settings import AwsSettings, KmsKey
from portal.backends.keys.azure_keyvault_settings import AzureSettings, HsmKeyAddress
from portal.backends.keys.base import KeyProvider
from portal.backends.keys.gcp_kms_settings import GcpKmsSettings, KmsKeyName
from portal.backends.keys.guarded import GuardedKeyProvider
from portal.backends.keys.local import LocalKeyProvider
from portal.backends.keys.pkcs11_settings import KeyAddress, Pkcs11Settings
from portal.backends.keys.vault_settings import VaultAddress, VaultSettings
from portal.backends.scheme import Scheme
from portal.core.errors import ConfigError
from portal.core.secrets import Secret

_IN_PROCESS = ("env:", "file:")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]{0,15}", re.ASCII)


@contextmanager
def _extra(name: str) -> Iterator[None]:
    """Around the import of a provider whose client library comes with `portal[name]`."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ConfigError(f"PORTAL_KEY_URLS needs {error.name}: install portal[{name}]") from None


def _vault(rest: str, variables: Mapping[str, str]) -> KeyProvider:
    address, settings = VaultAddress.parse(rest), VaultSettings.read(variables)
    with _extra("vault"):
        from portal.backends.keys.vault import VaultTransit  # noqa: PLC0415
    return VaultTransit(address, settings)


def _pkcs11(rest: str, variables: Mapping[str, str]) -> KeyProvider:
    address, settings = KeyAddress.parse(rest), Pkcs11Settings.read(variables)
    with _extra("hsm"):
        from portal.backends.keys.pkcs11 import Pkcs11Key  # noqa: PLC0415
    return Pkcs11Key(address, settings)


def _azure_keyvault(rest: str, variables: Mapping[str, str]) -> KeyProvider:
    address, settings = HsmKeyAddress.parse(rest), AzureSettings.read(variables)
    with _extra("azure"):
        from portal.backends.keys.azure_keyvault import AzureKeyVault  # noqa: PLC0415
    return AzureKeyVault(address, settings)


def _gcp_kms(rest: str, variables: Mapping[str, str]) -> KeyProvider:
    name, settings = KmsKeyName.parse(rest), GcpKmsSettings.read(variables)
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # read at the import: gRPC writes past the portal's log
    with _extra("gcp"):
        from portal.backends.keys.gcp_kms import GcpKms  # noqa: PLC0415
    return GcpKms(name, settings)


def _aws(rest: str, variables: Mapping[str, str]) -> KeyProvider:
    key, settings = KmsKey.parse(rest), AwsSettings.read(variables)
    with _extra("aws"):
        from portal.backends.keys.aws_kms import AwsKms  # noqa: PLC0415
    return AwsKms(key, settings)


SCHEMES: dict[str, Scheme[KeyProvider]] = {
    "env": Scheme(LocalKeyProvider.from_environment),
    "file": Scheme(lambda rest, _variables: LocalKeyProvider.from_file(f"file:{rest}")),
    "pkcs11": Scheme(_pkcs11, Pkcs11Settings),
    "azure-keyvault": Scheme(_azure_keyvault, AzureSettings),
    "gcp-kms": Scheme(_gcp_kms, GcpKmsSettings),
    "vault-transit": Scheme(_vault, VaultSettings),
    "aws-kms": Scheme(_aws, AwsSettings),
    "memory": Scheme(lambda _rest, _variables: LocalKeyProvider.random()),
}
_ADDRESSES: dict[str, Callable[[str], object]] = {
    pkcs11_settings.SCHEME: KeyAddress.parse,
    azure_keyvault_settings.SCHEME: HsmKeyAddress.parse,
    gcp_kms_settings.SCHEME: KmsKeyName.parse,
    vault_settings.SCHEME: VaultAddress.parse,
    aws_settings.SCHEME: KmsKey.parse,
}
"""For the schemes whose URL has a form of its own: raises ConfigError for any other."""


def open_key_providers(urls: Sequence[str], variables: Mapping[str, str]) -> tuple[KeyProvider, ...]:
    """One guarded provider per URL, in order: the first wraps new data keys, all unwrap. Raises ConfigError."""
    providers = tuple(GuardedKeyProvider(_open(url, variables)) for url in urls)
    if not providers:
        raise ConfigError("PORTAL_KEY_URLS names no key provider")
    if len({provider.key_id for provider in providers}) < len(providers):
        raise ConfigError("PORTAL_KEY_URLS names the same master key twice")
    return providers


def master_keys_in(urls: Sequence[str], variables: Mapping[str, str]) -> dict[str, Secret]:
    """The master keys that are in this process, by their id: those of `env:` and `file:`. Raises ConfigError."""
    found = [_open(url, variables) for url in urls if url.startswith(_IN_PROCESS)]
    return {provider.key_id: provider.master_key for provider in found if isinstance(provider, LocalKeyProvider)}


def provider_of(master_key: Secret) -> KeyProvider:
    """The guarded provider of a master key that no URL names."""
    return GuardedKeyProvider(LocalKeyProvider(master_key))


def shown(url: str) -> str:
    """The URL for an operator's eyes. Of one that cannot be right it is the scheme at most: a key may be in it."""
    scheme, _, rest = url.partition(":")
    known = scheme in SCHEMES
    return url if known and _is_well_formed(scheme, rest) else f"{scheme}:(not shown)" if known else "(not shown)"


def _is_well_formed(scheme: str, rest: str) -> bool:
    if scheme == "env":
        return rest.isupper() and rest.isidentifier()
    try:
        _ADDRESSES.get(scheme, str)(rest)
    except ConfigError:
        return False
    return True


def _open(url: str, variables: Mapping[str, str]) -> KeyProvider:
    scheme, _, rest = url.partition(":")
    if scheme not in SCHEMES:
        shown = repr(scheme) if _SCHEME.fullmatch(scheme) else "(not shown: it may be a key)"
        raise ConfigError(f"PORTAL_KEY_URLS: unknown scheme {shown}; known: {', '.join(sorted(SCHEMES))}")
    return SCHEMES[scheme].open(rest, variables)
