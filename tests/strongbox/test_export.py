"""An exported part is a plain Tink stream: Google's own library opens it with what the export says."""

import functools
import io
from dataclasses import replace
from typing import Any

import pytest
import tink
from tink import secret_key_access, streaming_aead

from portal.backends.blobs.memory import MemoryStore
from portal.backends.scanners.none import NoScanner
from portal.core.errors import IntegrityError
from portal.keyring.keyring import Keyring
from portal.stores.stores import Stores
from portal.strongbox.model import TinkPart
from portal.strongbox.strongbox import Strongbox

from .sealing import CASE, THREE_SEGMENTS, damaged, flips, recipe, seal_file, with_part


@functools.cache
def register() -> None:
    streaming_aead.register()


async def opened_by_tink(part: TinkPart) -> bytes:
    register()
    sealed = b"".join([piece async for piece in part.stream()])
    assert len(sealed) == part.length
    keyset: Any = tink.json_proto_keyset_format.parse(part.keyset, secret_key_access.TOKEN)
    aead = keyset.primitive(streaming_aead.StreamingAead)
    with aead.new_decrypting_stream(io.BytesIO(sealed), part.associated_data) as stream:
        return bytes(stream.read())


@pytest.mark.parametrize("length", [0, 1, 200, 201, 440, THREE_SEGMENTS])
async def test_tink_opens_an_exported_part(box: Strongbox, length: int) -> None:
    file = await seal_file(box, recipe(length), scope=CASE)
    (part,) = await box.export(file)
    assert part.blob_key == file.parts[0].key
    assert await opened_by_tink(part) == recipe(length)


async def test_tink_opens_production_segments(keyring: Keyring) -> None:
    box = Strongbox(Stores([MemoryStore()]), keyring, [NoScanner()])
    whole = recipe((1 << 20) + 5)
    (part,) = await box.export(await seal_file(box, whole))
    assert await opened_by_tink(part) == whole


async def test_every_part_is_exported_in_order_and_may_be_read_twice(memory_box: Strongbox) -> None:
    parts = [recipe(300, seed) for seed in range(3)]
    exported = await memory_box.export(await seal_file(memory_box, *parts))
    assert [await opened_by_tink(part) for part in exported] == parts
    assert [await opened_by_tink(part) for part in exported] == parts
    assert len({part.key for part in exported}) == 3


async def test_tink_refuses_another_context_or_key(memory_box: Strongbox) -> None:
    one, two = await memory_box.export(await seal_file(memory_box, recipe(300), recipe(300)))
    for changed in (replace(one, associated_data=two.associated_data), replace(one, keyset=two.keyset)):
        with pytest.raises(tink.TinkError):
            await opened_by_tink(changed)


async def test_an_exported_part_shows_no_key_in_its_repr(memory_box: Strongbox) -> None:
    (part,) = await memory_box.export(await seal_file(memory_box, b"x"))
    assert str(part.key) not in repr(part)
    assert "keyset" not in repr(part)


async def test_a_damaged_record_stops_the_export(memory_box: Strongbox) -> None:
    file = await seal_file(memory_box, recipe(300))
    for record in (*flips(file.record), b"", file.record[:-1], file.record + b"\0"):
        with pytest.raises(IntegrityError):
            await memory_box.export(replace(file, record=record))


async def test_damage_anywhere_in_any_part_stops_the_export_of_all(memory_box: Strongbox, memory: MemoryStore) -> None:
    file = await seal_file(memory_box, recipe(THREE_SEGMENTS), recipe(THREE_SEGMENTS, 1))
    assert len(await memory_box.export(file)) == 2
    key, blob = file.parts[1].key, memory.blobs[file.parts[1].key]
    for at in range(0, len(blob), 5):
        memory.blobs[key] = damaged(blob, at)
        with pytest.raises(IntegrityError):
            await memory_box.export(file)


async def test_the_key_of_another_part_stops_the_export(memory_box: Strongbox) -> None:
    file = await seal_file(memory_box, recipe(300), recipe(300, 1))
    part = replace(file.parts[0], wrapped_key=file.parts[1].wrapped_key)
    with pytest.raises(IntegrityError):
        await memory_box.export(with_part(file, part))
