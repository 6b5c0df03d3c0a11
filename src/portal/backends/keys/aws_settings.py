"""Where a master key in AWS KMS is, and how the portal reaches it.

Comes in: the URL `aws-kms:arn:aws:kms:REGION:ACCOUNT:key/ID`, and the portal's variables. Leaves: a `KmsKey` and
`AwsSettings`, or a ConfigError that shows neither. Next: `aws_server` connects, `aws_credentials` signs.
"""

import re
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr

from portal.backends.scheme import BackendSettings
from portal.core.errors import ConfigError

SCHEME = "aws-kms"
_FORM = f"PORTAL_KEY_URLS: {SCHEME}: is written {SCHEME}:arn:aws:kms:REGION:ACCOUNT:key/ID"
_ARN = re.compile(r"arn:(aws[a-z-]{0,12}):kms:([a-z0-9-]{1,32}):([0-9]{12}):key/((?:mrk-)?[0-9a-f-]{32,36})", re.ASCII)
_DOMAINS = {
    "aws": "amazonaws.com",
    "aws-us-gov": "amazonaws.com",
    "aws-cn": "amazonaws.com.cn",
    "aws-eusc": "amazonaws.eu",
}
_WORD = re.compile(r"[!-~]+", re.ASCII)
_ENDPOINT = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+/?", re.ASCII)


class AwsSettings(BackendSettings):
    """How the portal reaches AWS KMS. Without an access key the credentials are those of the machine."""

    aws_access_key_id: str = Field("", description="of an IAM user; empty: the credentials of the machine")
    aws_secret_access_key: SecretStr = Field(SecretStr(""), description="of the same user")
    aws_endpoint: str = Field("", description="https://host of a private endpoint; empty: the region's own")
    aws_ca: Path | None = Field(None, description="PEM of the only authorities for the endpoint's certificate")

    @property
    def problem(self) -> str | None:
        """What is missing or malformed; None if nothing is."""
        values = {
            "PORTAL_AWS_ACCESS_KEY_ID": self.aws_access_key_id,
            "PORTAL_AWS_SECRET_ACCESS_KEY": self.aws_secret_access_key.get_secret_value(),
        }
        if len(set(map(bool, values.values()))) > 1:
            return f"{' and '.join(values)} are set together or not at all"
        wrong = [name for name, value in values.items() if value and not _WORD.fullmatch(value)]
        if wrong:
            return f"{wrong[0]} must be one word"
        if self.aws_endpoint and not _is_trusted(self.aws_endpoint):
            return "PORTAL_AWS_ENDPOINT must be https://host[:port]; on this machine it may be http:"
        return None


@dataclass(frozen=True, slots=True)
class KmsKey:
    """One key by its ARN."""

    arn: str
    partition: str
    region: str

    @classmethod
    def parse(cls, rest: str) -> Self:
        """The key in a URL without its scheme. Raises ConfigError, which does not show the URL."""
        found = _ARN.fullmatch(rest)
        if found is not None:
            return cls(rest, found[1], found[2])
        if ":alias/" in rest:
            raise ConfigError(f"{_FORM}, not with an alias: that may be pointed at another key")
        raise ConfigError(_FORM)

    @property
    def key_id(self) -> str:
        """The id among all master keys. The replicas of a multi-Region key are one master key: it names no region."""
        multi_region = ":key/mrk-" in self.arn
        return f"{SCHEME}:{self.arn.replace(f':{self.region}:', '::', 1) if multi_region else self.arn}"

    def endpoint(self, settings: AwsSettings) -> str:
        """The URL that is asked. Raises ConfigError where only the operator knows it."""
        if settings.aws_endpoint:
            return f"{settings.aws_endpoint.removesuffix('/')}/"
        if self.partition not in _DOMAINS:
            raise ConfigError(f"PORTAL_KEY_URLS: {SCHEME}: the partition {self.partition} needs PORTAL_AWS_ENDPOINT")
        return f"https://kms.{self.region}.{_DOMAINS[self.partition]}/"


def _is_trusted(endpoint: str) -> bool:
    """Whether it is a bare `https:` URL, or one of this machine."""
    try:
        parts = urlsplit(endpoint)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return False
    return bool(_ENDPOINT.fullmatch(endpoint) and host) and (parts.scheme == "https" or _is_loopback(host))


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
