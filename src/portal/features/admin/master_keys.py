"""The master keys of a portal: how each is, what it protects, and what its loss would mean.

Comes in: counts of data keys and files, and what is known of the providers. Leaves: `MasterKey`s. Next: `keys`.
"""

from collections.abc import Mapping, Sequence

from portal.features.admin.key_rows import FileCount
from portal.features.admin.key_views import KeyStatus, MasterKey, VersionUse
from portal.keyring.keyring import Keyring
from portal.keyring.repository import WrapCount


async def master_keys(
    keyring: Keyring, wraps: Sequence[WrapCount], counted: dict[str, FileCount], backups: Mapping[str, int]
) -> tuple[MasterKey, ...]:
    """Every master key that is configured, or wraps a data key or a backup's. The one that wraps new data keys comes
    first. `backups` counts backups by their master key.
    """
    health = await keyring.health()
    names = [*health, *sorted({*(wrap.provider_key_id for wrap in wraps), *backups} - set(health))]
    found = []
    for name in names:
        mine = [wrap for wrap in wraps if wrap.provider_key_id == name]
        status = _status(health, name)
        count = counted.get(name, FileCount())
        found.append(_master_key(keyring, name, status, health.get(name), mine, count, backups.get(name, 0)))
    return tuple(found)


def _status(health: Mapping[str, str | None], name: str) -> KeyStatus:
    if name not in health:
        return KeyStatus.NOT_CONFIGURED
    return KeyStatus.AWAY if health[name] else KeyStatus.ANSWERS


def _master_key(
    keyring: Keyring,
    name: str,
    status: KeyStatus,
    reason: str | None,
    wraps: Sequence[WrapCount],
    count: FileCount,
    backups: int,
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
        backups=backups,
        oldest_active_at=min((wrap.oldest_active_at for wrap in wraps if wrap.oldest_active_at), default=None),
        newest_active_at=max((wrap.newest_active_at for wrap in wraps if wrap.newest_active_at), default=None),
        loss=_loss(count, backups, status, is_first=is_first),
    )


def _loss(count: FileCount, backups: int, status: KeyStatus, *, is_first: bool) -> str:
    ends = "are unreadable" if status is KeyStatus.NOT_CONFIGURED else "become unreadable"
    told = "No file is under it."
    if count.files:
        inboxes = count.files - count.in_cases
        where = f"{count.in_cases} in {count.cases} case(s), {inboxes} in inboxes"
        told = f"{count.files} file(s) {ends}, {count.size} bytes: {where}."
    told += f" {backups} backup(s) cannot be opened." if backups else ""
    return f"{told} Uploads are refused until another provider is the first." if is_first else told
