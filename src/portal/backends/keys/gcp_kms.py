"""`gcp-kms:projects/…/cryptoKeys/KEY`: a master key in Google Cloud KMS.

Comes in: a data key, and its binding. Leaves: the data key as the service encrypted it, with the version of the master
key (`docs/format.md` 1). The master key never leaves the service.

The service finds the version by itself, so what a wrap says of its version is bound to the data key by a check value: a
wrap that names another version than the one that made it does not open.
"""

import hmac
import struct

from portal.backends.keys.base import Binding, KeyProviderError
from portal.backends.keys.context import Context
from portal.backends.keys.gcp_kms_server import GcpKmsServer, nonsense
from portal.backends.keys.gcp_kms_settings import GcpKmsSettings, KmsKeyName
from portal.backends.keys.probe import Probe
from portal.core.secrets import KEY_BYTES
from portal.crypto.derive import CHECK_SIZE, master_key_version_check

_HEAD = struct.Struct(">BI")  # the version of this form, the version of the master key
_FRONT = struct.Struct(f"{_HEAD.format}{CHECK_SIZE}s")  # the head, and the check value of the version
_FORM = 1
_CIPHERTEXT_BYTES = range(60, 1025)  # nonce, 32 bytes and tag, and what the service adds


class GcpKms:
    """A `KeyProvider` whose master key is in Google Cloud KMS."""

    def __init__(self, name: KmsKeyName, settings: GcpKmsSettings) -> None:
        self._name = name
        self._context = Context(name.key_id)
        self._server = GcpKmsServer(settings)
        self._probe = Probe(self, "it ignores additional authenticated data")

    @property
    def key_id(self) -> str:
        return self._name.key_id

    async def wrap(self, data_key: bytes, binding: Binding) -> bytes:
        context = self._context.of(binding)
        resource, ciphertext = await self._server.encrypt(self._name.resource, data_key, context)
        version = self._name.version_in(resource)
        if version is None or len(ciphertext) not in _CIPHERTEXT_BYTES:
            raise nonsense()
        return _FRONT.pack(_FORM, version, master_key_version_check(data_key, version)) + ciphertext

    async def unwrap(self, wrapped: bytes, binding: Binding) -> bytes:
        version, check, ciphertext = _parts(wrapped)
        data_key = await self._server.decrypt(self._name.resource, ciphertext, self._context.of(binding))
        if len(data_key) != KEY_BYTES:
            raise nonsense()
        if not hmac.compare_digest(check, master_key_version_check(data_key, version)):
            raise _malformed()
        return data_key

    def version_of(self, head: bytes) -> int | None:
        form, version = _HEAD.unpack(head) if len(head) == _HEAD.size else (0, 0)
        return version if form == _FORM else None

    async def check(self) -> None:
        await self._probe.run()

    async def aclose(self) -> None:
        await self._server.aclose()


def _parts(wrapped: bytes) -> tuple[int, bytes, bytes]:
    """Version, check value and ciphertext. Raises KeyProviderError for bytes that `wrap` does not make."""
    ciphertext = wrapped[_FRONT.size :]
    if len(ciphertext) not in _CIPHERTEXT_BYTES:
        raise _malformed()
    form, version, check = _FRONT.unpack_from(wrapped)
    if form != _FORM:
        raise _malformed()
    return version, check, ciphertext


def _malformed() -> KeyProviderError:
    return KeyProviderError(reason="the wrapped data key is malformed")
