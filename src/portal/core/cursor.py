"""Pagination cursors: opaque texts that say where the next page of a listing begins.

A cursor carries a MAC over the position and the filters of its listing. A client can neither forge one nor use it with
other filters.
"""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Sequence
from datetime import datetime
from typing import overload
from uuid import UUID

from portal.core.clock import rfc3339
from portal.core.errors import InvalidInput
from portal.core.pagination import After
from portal.core.secrets import PurposeKey, Secret, purpose_keys

_MAC = 16


class Cursors:
    """Signs cursors with the newest SECRET_KEY and accepts those signed with any of the configured ones."""

    def __init__(self, secret_keys: Sequence[Secret]) -> None:
        self._keys = purpose_keys(secret_keys, "list cursor")

    @overload
    def write(self, after: After, filters: str) -> str: ...
    @overload
    def write(self, after: None, filters: str) -> None: ...
    def write(self, after: After | None, filters: str) -> str | None:
        """The cursor of the page that begins behind `after`; None where `after` is None: the listing has ended."""
        if after is None:
            return None
        body = json.dumps([rfc3339(after[0]), after[1].hex]).encode()
        return base64.urlsafe_b64encode(_mac(self._keys[0], body, filters) + body).decode().rstrip("=")

    @overload
    def read(self, cursor: str, filters: str) -> After: ...
    @overload
    def read(self, cursor: None, filters: str) -> None: ...
    def read(self, cursor: str | None, filters: str) -> After | None:
        """The position in `cursor`; None without a cursor (the first page).

        Raises InvalidInput for a cursor that was changed, forged, or issued for other filters.
        """
        if cursor is None:
            return None
        try:
            raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
            mac, body = raw[:_MAC], raw[_MAC:]
            if not any(hmac.compare_digest(mac, _mac(key, body, filters)) for key in self._keys):
                raise InvalidInput("The cursor is not one that was given for this listing.")
            moment, item_id = json.loads(body)
        except (binascii.Error, UnicodeEncodeError, ValueError):
            raise InvalidInput("The cursor is not one that was given for this listing.") from None
        return datetime.fromisoformat(moment), UUID(hex=item_id)


def _mac(key: PurposeKey, body: bytes, filters: str) -> bytes:
    bound = hashlib.sha256(filters.encode()).digest() + body
    return hmac.digest(key.key.reveal(), bound, "sha256")[:_MAC]
