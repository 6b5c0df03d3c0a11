"""Which key of an Azure Managed HSM, and how the portal signs in at Microsoft Entra.

Comes in: the URL `azure-keyvault:https://NAME.managedhsm.azure.net/keys/KEY[/VERSION]`, and the portal's variables.
Leaves: a `HsmKeyAddress` and `AzureSettings`, or a ConfigError that shows neither. Next: `azure_keyvault_server`
connects.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr

from portal.backends.scheme import BackendSettings
from portal.core.errors import ConfigError

SCHEME = "azure-keyvault"
VERSION_BYTES = 16
_FORM = (
    f"PORTAL_KEY_URLS: {SCHEME}: is written {SCHEME}:https://NAME.managedhsm.azure.net/keys/KEY, "
    "with /VERSION where one is to stay"
)
_MAX_KEY_ID = 200  # what a row of a data key has room for
_KEY = re.compile(r"https://([A-Za-z0-9.-]+)(:[0-9]{1,5})?/keys/([A-Za-z0-9-]{1,127})(?:/([0-9a-f]{32}))?", re.ASCII)
_VERSION = re.compile(r"[0-9a-f]{32}", re.ASCII)
_WORD = re.compile(r"[A-Za-z0-9.-]+", re.ASCII)
_TOKEN = "/var/run/secrets/azure/tokens/azure-identity-token"  # noqa: S105  # a path


class AzureSettings(BackendSettings):
    """How the portal signs in, for every `azure-keyvault:` URL."""

    azure_auth: Literal["managed_identity", "workload_identity", "client_secret"] = Field(
        "managed_identity", description="how the portal signs in"
    )
    azure_tenant_id: str = Field("", description="for `client_secret` and `workload_identity`")
    azure_client_id: str = Field("", description="the application; for `managed_identity` one of several identities")
    azure_client_secret: SecretStr = Field(SecretStr(""), description="for `client_secret`")
    azure_token_path: Path = Field(Path(_TOKEN), description="for `workload_identity`: read at each sign-in")
    azure_authority: str = Field(
        "login.microsoftonline.com", pattern=r"^[A-Za-z0-9.-]+(:[0-9]{1,5})?$", description="where the portal signs in"
    )
    azure_ca: Path | None = Field(None, description="PEM of the only authorities for the servers' certificates")

    @property
    def problem(self) -> str | None:
        """What is missing or malformed; None if nothing is."""
        ids = {"PORTAL_AZURE_TENANT_ID": self.azure_tenant_id, "PORTAL_AZURE_CLIENT_ID": self.azure_client_id}
        needed = {} if self.azure_auth == "managed_identity" else dict(ids)
        if self.azure_auth == "client_secret":
            needed["PORTAL_AZURE_CLIENT_SECRET"] = self.azure_client_secret.get_secret_value()
        for name, value in needed.items():
            if not value:
                return f"PORTAL_AZURE_AUTH={self.azure_auth} needs {name}"
        for name, value in ids.items():
            if value and not _WORD.fullmatch(value):
                return f"{name} must be one word"
        return None


@dataclass(frozen=True, slots=True)
class HsmKeyAddress:
    """One key: its HSM, its name, and the version that wraps, or none for the newest."""

    host: str
    port: str
    key: str
    version: str

    @classmethod
    def parse(cls, rest: str) -> Self:
        """The address in a URL without its scheme. Raises ConfigError, which does not show the URL."""
        found = _KEY.fullmatch(rest)
        if found is None:
            raise ConfigError(_FORM)
        host, port, key, version = found.groups(default="")
        address = cls(host.lower(), "" if port == ":443" else port, key, version)
        if ".vault." in address.host:
            raise ConfigError(f"PORTAL_KEY_URLS: {SCHEME}: a vault cannot bind a data key: name a Managed HSM")
        if len(address.key_id) > _MAX_KEY_ID:
            raise ConfigError(f"PORTAL_KEY_URLS: {SCHEME}: the names of HSM and key are too long together")
        return address

    @property
    def key_id(self) -> str:
        """The id of the key among all master keys."""
        return f"{SCHEME}:{self.host}/{self.key}"

    @property
    def hsm_url(self) -> str:
        return f"https://{self.host}{self.port}"

    def version_in(self, kid: object) -> str | None:
        """The version that the service names, if it is one of this key."""
        start = f"{self.hsm_url}/keys/{self.key}/".lower()
        if not isinstance(kid, str) or not kid.lower().startswith(start):
            return None
        version = kid[len(start) :]
        return version if _VERSION.fullmatch(version) else None
