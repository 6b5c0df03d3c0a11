"""`vault-transit://host:port/mount/key`: a master key in the transit engine of HashiCorp Vault or OpenBao.

Comes in: a data key, and its binding. Leaves: the data key as the server wrapped it, with the version of the master key
(`docs/format.md` 1). The master key never leaves the server.

The transit key must be a derived one: the server then makes a key of its own for each context, and decrypts nothing
without the context under which it was encrypted. A key that is not derived ignores the context; the probe notices that.
"""

import base64
import re
import struct
from collections.abc import Mapping
from typing import Any

from portal.backends.keys.answers import bytes_of
from portal.backends.keys.base import Binding, KeyProviderError
from portal.backends.keys.context import Context
from portal.backends.keys.probe import Probe
from portal.backends.keys.vault_server import VaultServer, nonsense
from portal.backends.keys.vault_settings import VaultAddress, VaultSettings
from portal.backends.keys.vault_tokens import VaultTokens
from portal.core.secrets import KEY_BYTES

_HEAD = struct.Struct(">BI")  # the version of this form, the version of the master key
_FORM = 1
_CIPHERTEXT_BYTES = range(60, 129)  # nonce, 32 bytes, tag: 60 with the ciphers of today
_CIPHERTEXT = re.compile(r"vault:v([1-9][0-9]{0,8}):([A-Za-z0-9+/]+={0,2})", re.ASCII)


class VaultTransit:
    """A `KeyProvider` whose master key is in a Vault or OpenBao server."""

    def __init__(self, address: VaultAddress, settings: VaultSettings) -> None:
        self._address = address
        self._context = Context(address.key_id)
        self._server = VaultServer(address, settings)
        self._tokens = VaultTokens(self._server, settings)
        self._probe = Probe(self, "make a key with derived=true")

    @property
    def key_id(self) -> str:
        return self._address.key_id

    async def wrap(self, data_key: bytes, binding: Binding) -> bytes:
        answer = await self._ask("encrypt", binding, plaintext=_encoded(data_key))
        return _packed(answer.get("ciphertext"))

    async def unwrap(self, wrapped: bytes, binding: Binding) -> bytes:
        answer = await self._ask("decrypt", binding, ciphertext=_unpacked(wrapped))
        data_key = _decoded(answer.get("plaintext"))
        if len(data_key) != KEY_BYTES:
            raise nonsense()
        return data_key

    def version_of(self, head: bytes) -> int | None:
        form, version = _HEAD.unpack(head) if len(head) == _HEAD.size else (0, 0)
        return version if form == _FORM else None

    async def check(self) -> None:
        await self._probe.run()

    async def aclose(self) -> None:
        await self._server.aclose()

    async def _ask(self, verb: str, binding: Binding, **fields: str) -> Mapping[str, Any]:
        """The `data` of an answer. A token that is refused is fetched anew once."""
        path = f"{self._address.mount}/{verb}/{self._address.key}"
        body = {**fields, "context": _encoded(self._context.of(binding))}
        token = await self._tokens.current()
        answer = await self._server.ask(path, body, token)
        if answer.denied:
            self._tokens.forget(token)
            answer = await self._server.ask(path, body, await self._tokens.current())
        return answer.member("data")


def _packed(ciphertext: object) -> bytes:
    """The stored form of a ciphertext: every bit of it counts, which is not so in the server's own text."""
    found = _CIPHERTEXT.fullmatch(ciphertext) if isinstance(ciphertext, str) else None
    if found is None:
        raise nonsense()
    content = _decoded(found[2])
    if len(content) not in _CIPHERTEXT_BYTES:
        raise nonsense()
    return _HEAD.pack(_FORM, int(found[1])) + content


def _unpacked(wrapped: bytes) -> str:
    """The server's text. Raises KeyProviderError for bytes that `_packed` does not make."""
    content = wrapped[_HEAD.size :]
    if len(content) not in _CIPHERTEXT_BYTES:
        raise KeyProviderError(reason="the wrapped data key is malformed")
    form, version = _HEAD.unpack_from(wrapped)
    if form != _FORM or version < 1:  # the server takes version 0 for version 1
        raise KeyProviderError(reason="the wrapped data key is malformed")
    return f"vault:v{version}:{_encoded(content)}"


def _encoded(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _decoded(text: object) -> bytes:
    content = bytes_of(text)
    if content is None:
        raise nonsense()
    return content
