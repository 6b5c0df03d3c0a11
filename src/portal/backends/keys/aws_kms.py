"""`aws-kms:arn:…`: a master key in AWS KMS.

Comes in: a data key, and its binding. Leaves: the data key as KMS encrypted it, behind the id of the master key
(`docs/format.md` 1). The master key never leaves KMS.

The binding is KMS' encryption context: what was encrypted under one is decrypted under no other. It stands in AWS'
log of calls (CloudTrail) in clear, and holds ids alone.
"""

import base64
from hashlib import sha256

from portal.backends.keys.answers import bytes_of
from portal.backends.keys.aws_server import WRONG_KEY, KmsServer, nonsense
from portal.backends.keys.aws_settings import AwsSettings, KmsKey
from portal.backends.keys.base import Binding, KeyProviderError
from portal.backends.keys.probe import Probe
from portal.core.errors import ConfigError
from portal.core.key_scopes import is_scope
from portal.core.secrets import KEY_BYTES
from portal.crypto.derive import KID_SIZE

_FORM = b"\x01"
_CIPHERTEXT_BYTES = range(64, 1025)  # KMS does not say how long; of 32 bytes it makes less than 200
_ALGORITHM = "SYMMETRIC_DEFAULT"  # AES-256-GCM; others wrap with a public key
_ADVICE = "make a symmetric encryption key"


class AwsKms:
    """A `KeyProvider` whose master key is in AWS KMS."""

    def __init__(self, key: KmsKey, settings: AwsSettings) -> None:
        self._key = key
        self._kid = sha256(key.key_id.encode()).digest()[:KID_SIZE]
        self._server = KmsServer(key, settings)
        self._probe = Probe(self, _ADVICE)

    @property
    def key_id(self) -> str:
        return self._key.key_id

    async def wrap(self, data_key: bytes, binding: Binding) -> bytes:
        ciphertext = await self._ask("Encrypt", binding, "CiphertextBlob", Plaintext=data_key)
        if len(ciphertext) not in _CIPHERTEXT_BYTES:
            raise nonsense()
        return _FORM + self._kid + ciphertext

    async def unwrap(self, wrapped: bytes, binding: Binding) -> bytes:
        head, ciphertext = wrapped[: 1 + KID_SIZE], wrapped[1 + KID_SIZE :]
        if head != _FORM + self._kid or len(ciphertext) not in _CIPHERTEXT_BYTES:
            raise KeyProviderError(reason="the wrapped data key is malformed")
        data_key = await self._ask("Decrypt", binding, "Plaintext", CiphertextBlob=ciphertext)
        if len(data_key) != KEY_BYTES:
            raise nonsense()
        return data_key

    def version_of(self, _head: bytes) -> None:
        """None: KMS keeps every version of its key for ever, and does not tell which one encrypted."""

    async def check(self) -> None:
        """See `Probe`; also raises ConfigError for a key that is not symmetric."""
        try:
            await self._probe.run()
        except KeyProviderError as error:
            if error.reason != WRONG_KEY:
                raise
            raise ConfigError(f"PORTAL_KEY_URLS: {self.key_id} cannot bind a data key: {_ADVICE}") from None

    async def aclose(self) -> None:
        await self._server.aclose()

    async def _ask(self, operation: str, binding: Binding, member: str, **content: bytes) -> bytes:
        """The bytes under `member` of the answer, which must be of this very key."""
        parameters = {
            "KeyId": self._key.arn,
            "EncryptionAlgorithm": _ALGORITHM,
            "EncryptionContext": self._context(binding),
        }
        encoded = {name: base64.b64encode(value).decode("ascii") for name, value in content.items()}
        answer = await self._server.ask(operation, parameters | encoded)
        if answer.get("KeyId") != self._key.arn:
            raise nonsense()
        return _decoded(answer.get(member))

    def _context(self, binding: Binding) -> dict[str, str]:
        if not is_scope(binding.scope):
            raise KeyProviderError(reason="the scope of the data key is malformed")
        ids = {"kid": self._kid.hex(), "data_key_id": str(binding.data_key_id), "scope": binding.scope}
        return {"purpose": "SFP1 data-key", **ids}


def _decoded(text: object) -> bytes:
    content = bytes_of(text)
    if content is None:
        raise nonsense()
    return content
