"""The header of a backup: what it says is what was said, and no bit of it can be changed."""

import json
from dataclasses import replace
from typing import Any

import pytest

from portal.core import clock
from portal.core.errors import IntegrityError
from portal.core.ids import new_id
from portal.core.key_scopes import BACKUP
from portal.crypto import wrap
from portal.crypto.format import BlobContext
from portal.features.backups.header import Header, _line, check, decoded, encoded
from portal.keyring.data_key import DataKey
from portal.keyring.repository import WrappedDataKey
from portal.strongbox.model import SealedPart

STORE = new_id().hex
KEY = DataKey(new_id(), BACKUP, wrap.new_key())


def part(number: int) -> SealedPart:
    context = BlobContext(KEY.id, new_id(), number)
    return SealedPart(context, KEY.id, b"wrapped" * 15, b"c" * 32, 1000 + number, 1200 + number, STORE)


HEADER = Header(WrappedDataKey(KEY.id, BACKUP, "key-1", b"wrapped key", b"check", clock.now()), part(0), part(1))
LINE = encoded(HEADER, KEY)


def refuses(line: bytes, key: DataKey = KEY) -> bool:
    try:
        decoded(line, STORE)
        check(line, key)
    except IntegrityError:
        return True
    return False


def test_a_header_says_what_was_said() -> None:
    assert decoded(LINE, STORE) == HEADER
    assert not refuses(LINE)


def test_every_flipped_bit_is_refused() -> None:
    for at in range(len(LINE)):
        for bit in range(8):
            line = bytearray(LINE)
            line[at] ^= 1 << bit
            assert refuses(bytes(line)), (at, bit)


@pytest.mark.parametrize(
    "line", [b"", b"{}", b"[]\n", b"null\n", LINE[:-1], LINE + b"\n", LINE * 2, b"[" * 10_000, b"\xff"]
)
def test_anything_else_is_refused(line: bytes) -> None:
    assert refuses(line)


@pytest.mark.parametrize(
    "edited",
    [
        {"key_id": []},
        {"key_id": 5},
        {"key_id": "\ud800"},
        {"key_id": "\x1b[2J"},
        {"key_id": "k" * 201},
        {"created_at": "2026-11-21"},
        {"created_at": "0001-01-01T00:00:00+14:00"},
        {"created_at": "9999-12-31T23:59:59-14:00"},
    ],
)
def test_a_claim_that_nobody_can_show_is_refused_before_its_key_is_asked_for(edited: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError):
        decoded(_line(json.loads(LINE) | edited), STORE)


def test_the_header_of_another_key_is_refused() -> None:
    assert refuses(LINE, replace(KEY, key=wrap.new_key()))
