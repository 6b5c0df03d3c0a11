"""The calls of a PKCS#11 module: it is loaded, a token found and signed in at, a key found and used.

Comes in: a `KeyAddress`, the PIN, bytes. Leaves: bytes that the token's AES key encrypted or decrypted; or a
KeyProviderError, or a ConfigError for what only an operator can mend. All of it runs in the thread of its module: a
session has one thread, and signing in counts for all sessions of a process at a token. Next: `pkcs11` is the provider.

A PIN that was refused is not given again before a restart, and the last try that a token allows is never made: a token
locks itself after a few wrong ones.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pkcs11
from pkcs11 import Attribute, GCMParams, KeyType, Mechanism, ObjectClass, Session, Token, TokenFlag

from portal.backends.keys.base import KeyProviderError
from portal.backends.keys.pkcs11_settings import KeyAddress
from portal.backends.keys.pkcs11_thread import ModuleThread
from portal.core.errors import ConfigError
from portal.core.secrets import KEY_BYTES, Secret

_Key = Any  # the library makes the class of a key from what it may do
IV_BYTES = 12
_AES_GCM = Mechanism.AES_GCM
_BLOCKED = TokenFlag.USER_PIN_FINAL_TRY | TokenFlag.USER_PIN_LOCKED
_PIN_REFUSED = (
    pkcs11.PinIncorrect,
    pkcs11.PinInvalid,
    pkcs11.PinLenRange,
    pkcs11.PinLocked,
    pkcs11.PinExpired,
    pkcs11.UserPinNotInitialized,
)
_NEEDED = {
    Attribute.PRIVATE: (True, "is used without a PIN: make it private"),
    Attribute.SENSITIVE: (True, "can be read in clear: make one that is sensitive"),
    Attribute.EXTRACTABLE: (False, "can be taken out of its token: make one that is not extractable"),
    Attribute.VALUE_LEN: (KEY_BYTES, "is no AES-256 key"),
    Attribute.ENCRYPT: (True, "must not encrypt: make one that may encrypt and decrypt"),
    Attribute.DECRYPT: (True, "must not decrypt: make one that may encrypt and decrypt"),
}


class TokenModule:
    """A module, as this process has loaded it, with the sessions at its tokens. `thread` runs all other methods."""

    def __init__(self, path: Path, *, inherited: bool) -> None:
        self.thread = ModuleThread(f"pkcs11 {path.name}")
        self._path, self._inherited = path, inherited
        self._sessions: dict[int, Session] = {}
        self._refused: dict[int, str] = {}

    def session(self, address: KeyAddress, pin: Secret) -> Session:
        """The session at the token, signed in. Raises KeyProviderError, ConfigError."""
        token = self._token(address)
        slot = token.slot.slot_id
        if slot in self._refused:
            raise ConfigError(self._refused[slot])
        if slot not in self._sessions:
            self._sessions[slot] = self._signed_in(token, pin)
        return self._sessions[slot]

    def drop(self, session: Session) -> None:
        """Close a session in which a call failed; the next call opens another one."""
        self._sessions = {slot: one for slot, one in self._sessions.items() if one is not session}
        with suppress(pkcs11.PKCS11Error):
            session.close()

    def has(self, session: Session) -> bool:
        return any(one is session for one in self._sessions.values())

    def _signed_in(self, token: Token, pin: Secret) -> Session:
        if token.flags & _BLOCKED:
            raise ConfigError(f"the token {token.label!r} locks at its next wrong PIN: sign in there once yourself")
        try:
            return token.open(user_pin=pin.reveal().decode())
        except pkcs11.UserAlreadyLoggedIn:  # a session that could not be closed did it
            return token.open()
        except _PIN_REFUSED as error:
            said = f"the token {token.label!r} refused PORTAL_PKCS11_PIN ({_name(error)})"
            self._refused[token.slot.slot_id] = f"{said}: it is not given again before a restart"
        raise ConfigError(self._refused[token.slot.slot_id])

    def _token(self, address: KeyAddress) -> Token:
        found = self._tokens(address)
        if not found:  # some modules see a token that came, or came back, only when they begin anew
            self._sessions.clear()
            self._library().reinitialize()
            found = self._tokens(address)
        if not found:
            raise KeyProviderError(reason="the token is not there", transient=True)
        if len(found) > 1:
            raise ConfigError(f"PORTAL_KEY_URLS: several tokens are {address.key_id}: add serial= to it")
        return found[0]

    def _tokens(self, address: KeyAddress) -> list[Token]:
        found = []
        with suppress(pkcs11.PKCS11Error):
            for slot in self._library().get_slots(token_present=True):
                with suppress(pkcs11.PKCS11Error):  # a token that is being taken away, or another one's trouble
                    found.append(slot.get_token())
        return [token for token in found if _is(token, address)]

    def _library(self) -> Any:
        try:
            library = pkcs11.lib(str(self._path))
        except pkcs11.PKCS11Error:
            raise ConfigError(f"PORTAL_KEY_URLS: {self._path} cannot be loaded as a PKCS#11 module") from None
        if self._inherited:  # a forked process has its parent's state, which is not its own
            self._inherited = False
            library.reinitialize()
        return library


@dataclass(slots=True)
class TokenKey:
    """One AES-256 key in a token. Its methods run in the thread of its module."""

    module: TokenModule
    address: KeyAddress
    pin: Secret
    _session: Session | None = None
    _key: _Key | None = None

    def encrypt(self, content: bytes, context: bytes) -> tuple[bytes, bytes]:
        """The IV and the ciphertext with its tag. Raises KeyProviderError, ConfigError."""
        with self._away():
            return _encrypt(self._opened(), content, context)

    def decrypt(self, iv: bytes, sealed: bytes, context: bytes) -> bytes:
        """What was encrypted. Raises KeyProviderError, ConfigError.

        Some tokens answer a tag that does not match as they answer when they are broken (CKR_GENERAL_ERROR). Whether
        this one is, a content of our own tells: where that opens, a second refusal is about these bytes.
        """
        with self._away():
            key = self._opened()
            with suppress(pkcs11.PKCS11Error):
                return _decrypt(key, iv, sealed, context)
            _decrypt(key, *_encrypt(key, bytes(KEY_BYTES), context), context)
            with suppress(pkcs11.PKCS11Error):
                return _decrypt(key, iv, sealed, context)
            raise KeyProviderError(reason="the wrapped data key does not open")

    def open(self) -> None:
        """Find the key, unless that was done. Raises KeyProviderError, ConfigError."""
        with self._away():
            self._opened()

    def _opened(self) -> _Key:
        """The key, in a session that is open."""
        if self._key is None or self._session is None or not self.module.has(self._session):
            self._key, self._session = None, self.module.session(self.address, self.pin)
            self._key = self._found(self._session)
        return self._key

    def _found(self, session: Session) -> _Key:
        if _AES_GCM not in session.token.slot.get_mechanisms():
            raise ConfigError(f"PORTAL_KEY_URLS: {self.address.key_id}: the token has no AES-GCM")
        named = {Attribute.LABEL: self.address.object, Attribute.ID: self.address.id}
        kind = {Attribute.CLASS: ObjectClass.SECRET_KEY, Attribute.KEY_TYPE: KeyType.AES}
        keys = list(session.get_objects(kind | {name: value for name, value in named.items() if value is not None}))
        if len(keys) != 1:
            what = "has no AES key of this name" if not keys else "has several AES keys of this name: add id="
            raise ConfigError(f"PORTAL_KEY_URLS: {self.address.key_id}: the token {what}")
        for attribute, (needed, otherwise) in _NEEDED.items():
            if _value(keys[0], attribute) != needed:
                raise ConfigError(f"PORTAL_KEY_URLS: {self.address.key_id} {otherwise}")
        return keys[0]

    @contextmanager
    def _away(self) -> Iterator[None]:
        """Within the block, an error of the module closes the session and becomes one of the portal's."""
        try:
            yield
        except pkcs11.PKCS11Error as error:
            if self._session is not None:
                self.module.drop(self._session)
            raise KeyProviderError(reason=f"the token answered {_name(error)}", transient=True) from None


_modules: dict[Path, tuple[int, TokenModule]] = {}


def module_at(path: Path) -> TokenModule:
    """The module of this process: one for all its tokens and keys, another one after a fork."""
    real = Path(os.path.realpath(path))
    process, module = _modules.get(real, (None, None))
    if module is None or process != os.getpid():
        module = TokenModule(real, inherited=module is not None)
        _modules[real] = os.getpid(), module
    return module


def _is(token: Token, address: KeyAddress) -> bool:
    serial = token.serial.decode("utf-8", "replace").strip()
    wanted = (address.token, address.serial, address.manufacturer, address.model, address.slot)
    found = (token.label, serial, token.manufacturer_id, token.model, token.slot.slot_id)
    return all(one in {None, other} for one, other in zip(wanted, found, strict=True))


def _encrypt(key: _Key, content: bytes, context: bytes) -> tuple[bytes, bytes]:
    """A token that draws its own IV writes it over ours: what is in the parameters afterwards is what was used."""
    parameters = GCMParams(os.urandom(IV_BYTES), aad=context)
    sealed = key.encrypt(content, mechanism=_AES_GCM, mechanism_param=parameters)
    return bytes(bytearray(parameters.nonce)), sealed


def _decrypt(key: _Key, iv: bytes, sealed: bytes, context: bytes) -> bytes:
    content: bytes = key.decrypt(sealed, mechanism=_AES_GCM, mechanism_param=GCMParams(iv, aad=context))
    return content


def _value(key: _Key, attribute: Attribute) -> object:
    """What the token says of a key; None where it says nothing."""
    try:
        return key[attribute]
    except (pkcs11.AttributeTypeInvalid, pkcs11.AttributeSensitive):
        return None


def _name(error: pkcs11.PKCS11Error) -> str:
    """The name of the module's error. Its text may be anything."""
    return type(error).__name__
