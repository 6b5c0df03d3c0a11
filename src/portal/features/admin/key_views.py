"""What administrators see of master keys: values, which need neither the database nor a provider.

Comes in: what `master_keys` and `keys` found. Leaves: the same, to the routes and the command line.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class KeyStatus(StrEnum):
    """The status of a master key. Without its provider nothing that it protects can be opened."""

    ANSWERS = "answers"
    AWAY = "away"
    NOT_CONFIGURED = "not_configured"


@dataclass(frozen=True, slots=True)
class VersionUse:
    """One version of a master key, and how many data keys it wraps."""

    version: int
    data_keys: int


@dataclass(frozen=True, slots=True)
class MasterKey:
    """One master key. `key_id` is not a secret. `wraps`: it wraps new data keys. `reason`: why it is away.

    `backups` is how many backups are under it, of those that the portal knows. Active are the data keys that seal new
    files; `loss` says what is lost with this master key.
    """

    key_id: str
    status: KeyStatus
    reason: str | None
    wraps: bool
    versions: tuple[VersionUse, ...]
    data_keys: int
    files: int
    bytes: int
    backups: int
    oldest_active_at: datetime | None
    newest_active_at: datetime | None
    loss: str


@dataclass(frozen=True, slots=True)
class KeysStatus:
    """Every master key, and how many secrets are not sealed under the newest PORTAL_SECRET_KEY."""

    master_keys: tuple[MasterKey, ...]
    outdated_authenticators: int
    outdated_signing_keys: int


@dataclass(frozen=True, slots=True)
class SealedCount:
    """How many secrets of each kind."""

    authenticators: int
    signing_keys: int

    @property
    def total(self) -> int:
        return self.authenticators + self.signing_keys
