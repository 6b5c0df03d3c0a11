"""The header of a backup: the only part in clear. It says which backup it is, and holds the backup's key, wrapped.

Comes in: what a backup consists of, and its key. Leaves: a line of JSON with a MAC under that key; and the way back. A
header is replaced when its key is wrapped anew, never changed. Next: `target` stores it.
"""

import base64
import hmac
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from portal.core.clock import rfc3339
from portal.core.errors import IntegrityError
from portal.core.key_scopes import BACKUP
from portal.crypto import derive
from portal.crypto.format import BlobContext
from portal.keyring.data_key import DataKey
from portal.keyring.repository import WrappedDataKey
from portal.strongbox.model import SealedPart

FORMAT: Final = 1
MOST_BYTES: Final = 1 << 14
MOST_KEY_ID: Final = 200
_MAC: Final = "mac"


@dataclass(frozen=True, slots=True)
class Header:
    """A whole backup. `key` is its own key; `snapshot` and `bundle` are its two sealed streams."""

    key: WrappedDataKey
    snapshot: SealedPart
    bundle: SealedPart

    @property
    def id(self) -> UUID:
        return self.key.id

    @property
    def created_at(self) -> datetime:
        return self.key.created_at


def encoded(header: Header, key: DataKey) -> bytes:
    """The header as a line, with its MAC under the backup's key."""
    fields = _fields(header)
    return _line(fields | {_MAC: _text(_mac(fields, key))})


def decoded(line: bytes, store: str) -> Header:
    """What a header claims. `store` is the id of the store that it was found in. Raises IntegrityError.

    The claim is verified by `check`, which needs the backup's key.
    """
    try:
        said = json.loads(line)
        if said["format"] != FORMAT or _line(said) != line or not _bytes(said[_MAC]):
            raise IntegrityError  # also for another spelling of the same values
        backup_id = UUID(said["id"])
        created_at = _time(said["created_at"])
        values = _key_id(said["key_id"]), _bytes(said["wrapped_key"]), _bytes(said["check"])
        key = WrappedDataKey(backup_id, BACKUP, *values, created_at)
        return Header(key, _part(said["snapshot"], backup_id, 0, store), _part(said["bundle"], backup_id, 1, store))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        raise IntegrityError from None


def check(line: bytes, key: DataKey) -> None:
    """Raises IntegrityError unless a header that was decoded was made, to the last bit, with the backup's key."""
    said = json.loads(line)
    if not hmac.compare_digest(_bytes(said.pop(_MAC)), _mac(said, key)):
        raise IntegrityError


def _fields(header: Header) -> dict[str, Any]:
    key = header.key
    return {
        "portal": "backup",
        "format": FORMAT,
        "id": str(key.id),
        "created_at": rfc3339(key.created_at),
        "key_id": key.provider_key_id,
        "wrapped_key": _text(key.wrapped),
        "check": _text(key.check_value),
        "snapshot": _part_fields(header.snapshot),
        "bundle": _part_fields(header.bundle),
    }


def _part_fields(part: SealedPart) -> dict[str, Any]:
    return {
        "blob_id": part.key,
        "wrapped_key": _text(part.wrapped_key),
        "commitment": _text(part.commitment),
        "plain_length": part.plain_length,
        "stored_length": part.stored_length,
    }


def _part(said: dict[str, Any], backup_id: UUID, number: int, store: str) -> SealedPart:
    return SealedPart(
        context=BlobContext(backup_id, UUID(hex=said["blob_id"]), number),
        data_key_id=backup_id,
        wrapped_key=_bytes(said["wrapped_key"]),
        commitment=_bytes(said["commitment"]),
        plain_length=_natural(said["plain_length"]),
        stored_length=_natural(said["stored_length"]),
        store=store,
    )


def _mac(fields: dict[str, Any], key: DataKey) -> bytes:
    return hmac.digest(derive.backup_header(key.key), _line(fields), "sha256")


def _line(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def _natural(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError
    return value


def _key_id(value: Any) -> str:
    if not isinstance(value, str) or not value.isprintable() or len(value) > MOST_KEY_ID:  # it is shown unverified
        raise ValueError
    return value


def _time(value: Any) -> datetime:
    time = datetime.fromisoformat(value)
    if rfc3339(time) != value:  # another spelling, or no time zone
        raise ValueError
    return time


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(text: str) -> bytes:
    data = base64.b64decode(text, validate=True)
    if _text(data) != text:  # bits of the last letter that mean nothing
        raise ValueError
    return data
