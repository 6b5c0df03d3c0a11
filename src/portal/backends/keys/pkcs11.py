"""`pkcs11:`: a master key in a token that speaks PKCS#11: an HSM, or SoftHSM.

Comes in: a data key, and its binding. Leaves: the data key as the token encrypted it by AES-256-GCM with the binding as
associated data (`docs/format.md` 1). The master key never leaves the token. Next: `pkcs11_token` makes the calls, in
the thread of the module.
"""

from collections.abc import Callable
from typing import TypeVar

from portal.backends.keys.base import Binding, KeyProviderError
from portal.backends.keys.context import Context
from portal.backends.keys.pkcs11_settings import KeyAddress, Pkcs11Settings
from portal.backends.keys.pkcs11_token import IV_BYTES, TokenKey, module_at
from portal.backends.keys.probe import Probe
from portal.core.errors import ConfigError
from portal.core.secrets import KEY_BYTES, Secret
from portal.crypto.derive import KID_SIZE

_FORM = b"\x01"
_TAG_BYTES = 16
_T = TypeVar("_T")


class Pkcs11Key:
    """A `KeyProvider` whose master key is in a PKCS#11 token."""

    def __init__(self, address: KeyAddress, settings: Pkcs11Settings) -> None:
        self._address, self._path = address, address.module_of(settings)
        self._pin = Secret(settings.pkcs11_pin.get_secret_value().encode())
        self._context = Context(address.key_id)
        self._probe = Probe(self, "use another token")
        self._key: TokenKey | None = None

    @property
    def key_id(self) -> str:
        return self._address.key_id

    async def wrap(self, data_key: bytes, binding: Binding) -> bytes:
        context = self._context.of(binding)
        iv, sealed = await self._answered(lambda key: key.encrypt(data_key, context))
        if len(iv) != IV_BYTES or len(sealed) != KEY_BYTES + _TAG_BYTES:
            raise _nonsense()
        return _FORM + self._context.kid + iv + sealed

    async def unwrap(self, wrapped: bytes, binding: Binding) -> bytes:
        head, body = wrapped[: 1 + KID_SIZE], wrapped[1 + KID_SIZE :]
        iv, sealed = body[:IV_BYTES], body[IV_BYTES:]
        if head != _FORM + self._context.kid or len(sealed) != KEY_BYTES + _TAG_BYTES:
            raise KeyProviderError(reason="the wrapped data key is malformed")
        context = self._context.of(binding)
        data_key = await self._answered(lambda key: key.decrypt(iv, sealed, context))
        if len(data_key) != KEY_BYTES:
            raise _nonsense()
        return data_key

    def version_of(self, _head: bytes) -> None:
        """None: a key in a token has no versions."""

    async def check(self) -> None:
        await self._asked(lambda key: key.open())
        await self._probe.run()

    async def aclose(self) -> None:
        """No-op: a session is the module's, for all that use its token, and ends with the process."""

    async def _answered(self, call: Callable[[TokenKey], _T]) -> _T:
        try:
            return await self._asked(call)
        except ConfigError as error:
            raise KeyProviderError(reason=str(error), transient=True) from None

    async def _asked(self, call: Callable[[TokenKey], _T]) -> _T:
        """The result of a call in the thread of the module. Raises KeyProviderError, ConfigError."""
        module = module_at(self._path)
        if self._key is None or self._key.module is not module:
            self._key = TokenKey(module, self._address, self._pin)
        key = self._key
        return await module.thread.run(lambda: call(key))


def _nonsense() -> KeyProviderError:
    return KeyProviderError(reason="the token's answer is not a wrapped data key", transient=True)
