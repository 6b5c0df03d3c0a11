"""Where a Vault or OpenBao server is, and how the portal signs in there.

Comes in: the URL `vault-transit://host:port/mount/key?namespace=…`, and the portal's variables. Leaves: a
`VaultAddress` and `VaultSettings`, or a ConfigError that shows neither. Next: `vault_server` connects, `vault_tokens`
signs in.
"""

import re
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Literal, Self
from urllib.parse import SplitResult, parse_qs, urlsplit

from pydantic import Field, SecretStr

from portal.backends.scheme import BackendSettings
from portal.core.errors import ConfigError

SCHEME = "vault-transit"
_FORM = f"PORTAL_KEY_URLS: {SCHEME}: is written {SCHEME}://host:port/mount/key, with ?namespace= where there is one"
_DEFAULT_PORT = 8200
_MAX_KEY_ID = 200  # what a row of a data key has room for
_WORD = re.compile(r"[!-~]+", re.ASCII)
_HOST = re.compile(r"[A-Za-z0-9.:-]+", re.ASCII)
_PATH = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*", re.ASCII)
_JWT = "/var/run/secrets/kubernetes.io/serviceaccount/token"


class VaultSettings(BackendSettings):
    """How the portal signs in at every `vault-transit:` server, and whom it believes to be one."""

    vault_auth: Literal["token", "approle", "kubernetes"] = Field("token", description="how the portal signs in")
    vault_token: SecretStr = Field(SecretStr(""), description="for `token`; renewed while it can be")
    vault_role_id: str = Field("", description="for `approle`")
    vault_secret_id: SecretStr = Field(SecretStr(""), description="for `approle`")
    vault_role: str = Field("", description="for `kubernetes`")
    vault_jwt_path: Path = Field(Path(_JWT), description="for `kubernetes`: read anew at each sign-in")
    vault_auth_mount: str = Field("", description="where the method is mounted, if not under its own name")
    vault_ca: Path | None = Field(None, description="PEM of the only authorities for the server's certificate")

    @property
    def problem(self) -> str | None:
        """What is missing or malformed; None if nothing is."""
        needed = {
            "token": {"PORTAL_VAULT_TOKEN": self.vault_token.get_secret_value()},
            "approle": {
                "PORTAL_VAULT_ROLE_ID": self.vault_role_id,
                "PORTAL_VAULT_SECRET_ID": self.vault_secret_id.get_secret_value(),
            },
            "kubernetes": {"PORTAL_VAULT_ROLE": self.vault_role},
        }[self.vault_auth]
        for name, value in needed.items():
            if not value:
                return f"PORTAL_VAULT_AUTH={self.vault_auth} needs {name}"
            if not _WORD.fullmatch(value):
                return f"{name} must be one word"
        if self.vault_auth_mount and not _PATH.fullmatch(self.vault_auth_mount):
            return "PORTAL_VAULT_AUTH_MOUNT must be a path, as team/approle"
        return None

    @property
    def login_path(self) -> str:
        return f"auth/{self.vault_auth_mount or self.vault_auth}/login"


@dataclass(frozen=True, slots=True)
class VaultAddress:
    """One transit key: the server, the mount, the key's name, the namespace or none."""

    host: str
    port: int
    mount: str
    key: str
    namespace: str

    @classmethod
    def parse(cls, rest: str) -> Self:
        """The address in a URL without its scheme. Raises ConfigError, which does not show the URL."""
        try:
            parts = urlsplit(f"{SCHEME}:{rest}")
            host, port = parts.hostname or "", parts.port or _DEFAULT_PORT
        except ValueError:
            raise ConfigError(_FORM) from None
        mount, _, key = parts.path.removeprefix("/").rpartition("/")
        namespace = _namespace_in(parts)
        named = _HOST.fullmatch(host) and all(map(_PATH.fullmatch, (mount, key, namespace or "root")))
        if not named or "@" in parts.netloc or parts.fragment:
            raise ConfigError(_FORM)
        address = cls(host, port, mount, key, namespace)
        if len(address.key_id) > _MAX_KEY_ID:
            raise ConfigError(f"PORTAL_KEY_URLS: {SCHEME}: namespace, mount and key are too long together")
        return address

    @property
    def key_id(self) -> str:
        """The id of the key among all master keys. It does not name the host, which may move."""
        return f"{SCHEME}:{'/'.join(filter(None, (self.namespace, self.mount, self.key)))}"

    def base_url(self, *, tls: bool) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if tls else 'http'}://{host}:{self.port}/v1/"

    @property
    def is_loopback(self) -> bool:
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def _namespace_in(parts: SplitResult) -> str:
    query = parse_qs(parts.query, keep_blank_values=True)
    if set(query) - {"namespace"} or any(len(values) > 1 or not values[0] for values in query.values()):
        raise ConfigError(_FORM)
    return query.get("namespace", [""])[0].strip("/")
