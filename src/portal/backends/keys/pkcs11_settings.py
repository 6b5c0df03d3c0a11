"""Where a PKCS#11 key is, and how the portal signs in at its token.

Comes in: the URI `pkcs11:token=NAME;object=NAME?module-path=/path` (RFC 7512), and the portal's variables. Leaves: a
`KeyAddress` and `Pkcs11Settings`, or a ConfigError that shows neither. Next: `pkcs11_token` finds the key there.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import quote, unquote_to_bytes

from pydantic import Field, SecretStr

from portal.backends.scheme import BackendSettings
from portal.core.errors import ConfigError

SCHEME = "pkcs11"
_FORM = f"PORTAL_KEY_URLS: {SCHEME}: is written {SCHEME}:token=NAME;object=NAME (or serial=, id=) as RFC 7512 says"
_PIN = f"PORTAL_KEY_URLS: {SCHEME}: takes no PIN: give it by PORTAL_PKCS11_PIN or PORTAL_PKCS11_PIN_FILE"
_MODULE = f"PORTAL_KEY_URLS: {SCHEME}: name the token's module by module-path=/path or by PORTAL_PKCS11_MODULE"
_MAX_KEY_ID = 200  # what a row of a data key has room for
_PATH = ("token", "serial", "object", "id", "manufacturer", "model", "slot-id", "type")
_NAMING = _PATH[:4]  # in this order they are the key's id
_VALUE = re.compile(r"(?:[A-Za-z0-9._~:\[\]@!$'()*+=&/-]|%[0-9A-Fa-f]{2})+", re.ASCII)
_SLOT = re.compile(r"[0-9]{1,19}", re.ASCII)


class Pkcs11Settings(BackendSettings):
    """How the portal signs in at every `pkcs11:` token."""

    pkcs11_pin: SecretStr = Field(SecretStr(""), description="the user's PIN")
    pkcs11_module: Path | None = Field(None, description="the module of URIs that name none")

    @property
    def problem(self) -> str | None:
        """A missing PIN."""
        has_pin = bool(self.pkcs11_pin.get_secret_value())
        return None if has_pin else f"PORTAL_KEY_URLS: {SCHEME}: needs PORTAL_PKCS11_PIN"


@dataclass(frozen=True, slots=True)
class KeyAddress:
    """One key: its token's label, serial number or both, the key's label, id or both, and what narrows the search."""

    token: str | None
    serial: str | None
    object: str | None
    id: bytes | None
    manufacturer: str | None
    model: str | None
    slot: int | None
    module: Path | None

    @classmethod
    def parse(cls, rest: str) -> Self:
        """The address in a URI without its scheme. Raises ConfigError, which does not show the URI."""
        path, _, query = rest.partition("?")
        options = _pairs(query, "&")
        if options.keys() & {"pin-value", "pin-source"}:
            raise ConfigError(_PIN)
        found, module = _pairs(path, ";"), options.get("module-path", b"")
        texts = {name: _text(value) for name, value in found.items() if name != "id"}
        if set(found) - set(_PATH) or set(options) - {"module-path"} or texts.pop("type", "secret-key") != "secret-key":
            raise ConfigError(_FORM)
        slot = texts.pop("slot-id", None)
        if module[:1] not in {b"", b"/"} or (slot is not None and not _SLOT.fullmatch(slot)):
            raise ConfigError(_FORM)
        names = {name: texts.get(name) for name in ("token", "serial", "object", "manufacturer", "model")}
        made = cls(
            **names,
            id=found.get("id"),
            slot=None if slot is None else int(slot),
            module=Path(_text(module)) if module else None,
        )
        return made._checked()

    @property
    def key_id(self) -> str:
        """The id of the key among all master keys: what names token and key, not the slot, which changes."""
        named = {name: getattr(self, name) for name in _NAMING}
        told = [f"{name}={quote(value, safe='')}" for name, value in named.items() if value is not None]
        return f"{SCHEME}:{';'.join(told)}"

    def module_of(self, settings: Pkcs11Settings) -> Path:
        """The module, from the URI or else from the settings. Raises ConfigError."""
        module = self.module or settings.pkcs11_module
        if module is None:
            raise ConfigError(_MODULE)
        return module

    def _checked(self) -> Self:
        if (self.token or self.serial) is None or (self.object or self.id) is None:
            raise ConfigError(_FORM)
        if len(self.key_id) > _MAX_KEY_ID:
            raise ConfigError(f"PORTAL_KEY_URLS: {SCHEME}: the names of token and key are too long together")
        return self


def _pairs(text: str, separator: str) -> dict[str, bytes]:
    """The attributes of one part of the URI, decoded. Raises ConfigError."""
    found: dict[str, bytes] = {}
    for pair in text.split(separator) if text else ():
        name, _, value = pair.partition("=")
        if name in found or not _VALUE.fullmatch(value):
            raise ConfigError(_FORM)
        found[name] = unquote_to_bytes(value)
    return found


def _text(value: bytes) -> str:
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        raise ConfigError(_FORM) from None
    if not text.isprintable():
        raise ConfigError(_FORM)
    return text
