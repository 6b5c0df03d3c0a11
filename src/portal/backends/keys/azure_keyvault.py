"""`azure-keyvault:https://NAME.managedhsm.azure.net/keys/KEY`: a master key in an Azure Managed HSM.

Comes in: a data key, and its binding. Leaves: the data key as the HSM encrypted it by AES-256-GCM with the binding as
associated data, and the version of the master key (`docs/format.md` 1). The master key never leaves the HSM, which also
draws the nonce.

Each decryption names the version that encrypted: another one, and a changed name, opens nothing.
"""

import base64
import binascii
import struct

from portal.backends.keys.azure_keyvault_server import AzureServer, nonsense
from portal.backends.keys.azure_keyvault_settings import VERSION_BYTES, AzureSettings, HsmKeyAddress
from portal.backends.keys.base import HEAD_BYTES, Binding, KeyProviderError
from portal.backends.keys.context import Context
from portal.backends.keys.probe import Probe
from portal.core.errors import ConfigError
from portal.core.secrets import KEY_BYTES

_FORM = 1
_NONCE_BYTES, _TAG_BYTES = 12, 16
_WRAPPED = struct.Struct(f">B{VERSION_BYTES}s{_NONCE_BYTES}s{KEY_BYTES}s{_TAG_BYTES}s")


class AzureKeyVault:
    """A `KeyProvider` whose master key is in a Managed HSM."""

    def __init__(self, address: HsmKeyAddress, settings: AzureSettings) -> None:
        self._address = address
        self._context = Context(address.key_id)
        self._server = AzureServer(address, settings)
        self._probe = Probe(self, "it ignores associated data")

    @property
    def key_id(self) -> str:
        return self._address.key_id

    async def wrap(self, data_key: bytes, binding: Binding) -> bytes:
        fields = {"value": _encoded(data_key), "aad": _encoded(self._context.of(binding))}
        answer = await self._server.ask(self._address.version, "encrypt", fields)
        version = self._address.version_in(answer.get("kid"))
        if version is None or version != (self._address.version or version):
            raise nonsense()
        nonce, sealed = _decoded(answer.get("iv"), _NONCE_BYTES), _decoded(answer.get("value"), KEY_BYTES)
        return _WRAPPED.pack(_FORM, bytes.fromhex(version), nonce, sealed, _decoded(answer.get("tag"), _TAG_BYTES))

    async def unwrap(self, wrapped: bytes, binding: Binding) -> bytes:
        version, nonce, sealed, tag = _parts(wrapped)
        fields = {"value": sealed, "iv": nonce, "tag": tag, "aad": self._context.of(binding)}
        texts = {name: _encoded(content) for name, content in fields.items()}
        answer = await self._server.ask(version.hex(), "decrypt", texts)
        if self._address.version_in(answer.get("kid")) != version.hex():
            raise nonsense()
        return _decoded(answer.get("value"), KEY_BYTES)

    def version_of(self, head: bytes) -> int | None:
        """The first four bytes of the version, which is a random number."""
        return int.from_bytes(head[1:], "big") if len(head) == HEAD_BYTES and head[0] == _FORM else None

    async def check(self) -> None:
        try:
            await self._probe.run()
        except KeyProviderError as error:
            if error.transient:
                raise
            needed = "it must be an oct-HSM key of 256 bits that may encrypt and decrypt"
            raise ConfigError(f"PORTAL_KEY_URLS: {self.key_id} wraps no data key ({error.reason}): {needed}") from None

    async def aclose(self) -> None:
        await self._server.aclose()


def _parts(wrapped: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    """Version, nonce, ciphertext and tag. Raises KeyProviderError for bytes that `wrap` does not make."""
    if len(wrapped) != _WRAPPED.size or wrapped[0] != _FORM:
        raise KeyProviderError(reason="the wrapped data key is malformed")
    _form, version, nonce, sealed, tag = _WRAPPED.unpack(wrapped)
    return version, nonce, sealed, tag


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode("ascii")


def _decoded(text: object, size: int) -> bytes:
    """The bytes of a text of the service, which writes base64url without padding."""
    if not isinstance(text, str):
        raise nonsense()
    try:
        content = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise nonsense() from None
    if len(content) != size:
        raise nonsense()
    return content
