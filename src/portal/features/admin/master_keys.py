"""The master keys of a portal: how each is, what it protects, and what its loss would mean.

Comes in: counts of data keys and files, and what is known of the providers. Leaves: `MasterKey`s. Next: `keys`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from portal.features.admin.key_rows import FileCount
from portal.keyring.keyring import Keyring
from portal.keyring.repository import WrapCount


class KeyStatus(StrEnum):
    """The status of a master key. Without its provider nothing that it protects can be opened."""

    READY = "ready"
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

    Active are the data keys that seal new files; `loss` says what is lost with this master key.
    """

    key_id: str
    status: KeyStatus
    reason: str | None
    wraps: bool
    versions: tuple[VersionUse, ...]
    data_keys: int
    files: int
    bytes: int
    oldest_active_at: datetime | None
    newest_active_at: datetime | None
    loss: str


async def master_keys(
    keyring: Keyring, wraps: Sequence[WrapCount], counted: dict[str, FileCount]
) -> tuple[MasterKey, ...]:
    """Every master key that is configured or wraps a data key. The one that wraps new data keys comes first."""
    health = await keyring.health()
    names = [*health, *sorted({wrap.provider_key_id for wrap in wraps} - set(health))]
    found = []
    for name in names:
        mine = [wrap for wrap in wraps if wrap.provider_key_id == name]
        status = KeyStatus.NOT_CONFIGURED if name not in health else KeyStatus.AWAY if health[name] else KeyStatus.READY
        found.append(_master_key(keyring, name, status, health.get(name), mine, counted.get(name, FileCount())))
    return tuple(found)


def _master_key(
    keyring: Keyring, name: str, status: KeyStatus, reason: str | None, wraps: Sequence[WrapCount], count: FileCount
) -> MasterKey:
    versions = [(keyring.version_of(name, wrap.head), wrap.data_keys) for wrap in wraps]
    is_first = name == keyring.provider_key_ids[0]
    return MasterKey(
        key_id=name,
        status=status,
        reason=reason,
        wraps=is_first,
        versions=tuple(VersionUse(version, uses) for version, uses in versions if version is not None),
        data_keys=sum(wrap.data_keys for wrap in wraps),
        files=count.files,
        bytes=count.size,
        oldest_active_at=min((wrap.oldest_active_at for wrap in wraps if wrap.oldest_active_at), default=None),
        newest_active_at=max((wrap.newest_active_at for wrap in wraps if wrap.newest_active_at), default=None),
        loss=_loss(count, status, is_first=is_first),
    )


def _loss(count: FileCount, status: KeyStatus, *, is_first: bool) -> str:
    ends = "are unreadable" if status is KeyStatus.NOT_CONFIGURED else "become unreadable"
    told = "No file is under it."
    if count.files:
        inboxes = count.files - count.in_cases
        where = f"{count.in_cases} in {count.cases} case(s), {inboxes} in inboxes"
        told = f"{count.files} file(s) {ends}, {count.size} bytes: {where}."
    return f"{told} Uploads are refused until another provider is the first." if is_first else told
