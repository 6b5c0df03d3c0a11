"""Which key of Google Cloud KMS, and how the portal signs in there.

Comes in: the URL `gcp-kms:projects/…/cryptoKeys/KEY`, and the portal's variables. Leaves: a `KmsKeyName` and
`GcpKmsSettings`, or a ConfigError. Next: `gcp_kms_server` connects, `gcp_tokens` signs in.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr

from portal.backends.scheme import BackendSettings
from portal.core.errors import ConfigError

SCHEME = "gcp-kms"
_PATH = "projects/PROJECT/locations/LOCATION/keyRings/RING/cryptoKeys/KEY"
_MAX_KEY_ID = 200  # what a row of a data key has room for
_ID = r"([A-Za-z0-9_-]{1,63})"
_NAME = re.compile(rf"projects/([a-z0-9.:-]+)/locations/([a-z0-9-]+)/keyRings/{_ID}/cryptoKeys/{_ID}", re.ASCII)
_VERSIONED = re.compile(r"projects/([^/]+)/(.+)/cryptoKeyVersions/([1-9][0-9]{0,8})", re.ASCII)


class GcpKmsSettings(BackendSettings):
    """How the portal reaches Cloud KMS, for every `gcp-kms:` URL."""

    gcp_credentials: SecretStr = Field(
        SecretStr(""),
        description="JSON of a service account's key or of workload identity federation; empty: the machine's own",
    )
    gcp_kms_endpoint: str = Field(
        "cloudkms.googleapis.com:443",
        pattern=r"^[A-Za-z0-9.-]+:[0-9]{1,5}$",
        description="host and port, where Cloud KMS has an endpoint of its own for you",
    )
    gcp_kms_ca: Path | None = Field(None, description="PEM of the only authorities for the endpoint's certificate")


@dataclass(frozen=True, slots=True)
class KmsKeyName:
    """One key of Cloud KMS, without a version: the newest wraps, and a wrap names the version that opens it."""

    project: str
    location: str
    ring: str
    key: str

    @classmethod
    def parse(cls, rest: str) -> Self:
        """The name in a URL without its scheme. Raises ConfigError, which does not show the URL."""
        found = _NAME.fullmatch(rest)
        if found is None:
            raise ConfigError(f"PORTAL_KEY_URLS: {SCHEME}: is written {SCHEME}:{_PATH}, without a version")
        name = cls(*found.groups())
        if len(name.key_id) > _MAX_KEY_ID:
            raise ConfigError(f"PORTAL_KEY_URLS: {SCHEME}: project, location, ring and key are too long together")
        return name

    @property
    def key_id(self) -> str:
        """The id of the key among all master keys."""
        return f"{SCHEME}:{self.project}/{self.location}/{self.ring}/{self.key}"

    @property
    def resource(self) -> str:
        return f"projects/{self.project}/{self._in_project}"

    def version_in(self, resource: str) -> int | None:
        """The version that the service names, if it is one of this key. A project has an id and a number."""
        found = _VERSIONED.fullmatch(resource)
        if found is None or found[2] != self._in_project:
            return None
        same = found[1] == self.project or found[1].isdigit() != self.project.isdigit()
        return int(found[3]) if same else None

    @property
    def _in_project(self) -> str:
        return f"locations/{self.location}/keyRings/{self.ring}/cryptoKeys/{self.key}"
