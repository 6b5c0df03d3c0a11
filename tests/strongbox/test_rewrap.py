"""A file is wrapped for another scope: every part of it, no byte in the store, and nothing that does not open now."""

from dataclasses import replace

import pytest

from portal.backends.blobs.memory import MemoryStore
from portal.core.errors import IntegrityError
from portal.core.ids import new_id
from portal.core.key_scopes import NO_CASE
from portal.strongbox.model import SealedFile
from portal.strongbox.strongbox import Strongbox

from .sealing import CASE, OTHER_CASE, THREE_SEGMENTS, damaged, read, recipe, seal_file, with_part

PARTS = (recipe(THREE_SEGMENTS), recipe(1, 1), recipe(300, 2))


@pytest.mark.parametrize(("before", "after"), [(NO_CASE, CASE), (CASE, OTHER_CASE), (CASE, NO_CASE), (CASE, CASE)])
async def test_every_part_opens_in_the_new_scope_and_no_byte_was_touched(
    memory: MemoryStore, memory_box: Strongbox, before: str, after: str
) -> None:
    file = await seal_file(memory_box, *PARTS, scope=before, generation=3)
    sealed = dict(memory.blobs)
    moved = await memory_box.rewrap(file, after)
    assert await read(memory_box, moved) == b"".join(PARTS)
    assert memory.blobs == sealed
    assert (moved.scope, moved.file_id, moved.size, moved.sha256) == (after, file.file_id, file.size, file.sha256)
    for old, new in zip(file.parts, moved.parts, strict=True):
        assert (new.context, new.commitment, new.plain_length) == (old.context, old.commitment, old.plain_length)
        assert new.data_key_id == moved.data_key_id
        assert new.wrapped_key != old.wrapped_key
    assert await read(memory_box, file) == b"".join(PARTS)  # until its rows say otherwise


async def test_an_empty_file_moves(memory_box: Strongbox) -> None:
    moved = await memory_box.rewrap(await seal_file(memory_box, b""), CASE)
    assert await read(memory_box, moved) == b""


async def test_halves_of_two_scopes_do_not_open(memory_box: Strongbox) -> None:
    file = await seal_file(memory_box, *PARTS, scope=CASE)
    moved = await memory_box.rewrap(file, OTHER_CASE)
    halves = [
        replace(file, scope=OTHER_CASE),
        replace(moved, scope=CASE),
        replace(moved, scope=NO_CASE),
        replace(file, scope=OTHER_CASE, data_key_id=moved.data_key_id),
        replace(moved, record=file.record),
        replace(file, record=moved.record),
        with_part(moved, file.parts[1], 1),
        with_part(file, moved.parts[1], 1),
    ]
    for half in halves:
        with pytest.raises(IntegrityError):
            await read(memory_box, half)


async def test_what_does_not_open_now_is_not_wrapped_anew(memory_box: Strongbox) -> None:
    file = await seal_file(memory_box, *PARTS, scope=CASE)
    part = file.parts[1]
    edits: list[SealedFile] = [
        replace(file, scope=OTHER_CASE),
        replace(file, size=file.size + 1),
        replace(file, sha256=damaged(file.sha256)),
        replace(file, record=damaged(file.record)),
        replace(file, data_key_id=new_id()),
        replace(file, parts=file.parts[:2]),
        replace(file, parts=file.parts[::-1]),
        with_part(file, replace(part, wrapped_key=damaged(part.wrapped_key)), 1),
        with_part(file, replace(part, wrapped_key=file.parts[0].wrapped_key), 1),
        with_part(file, replace(part, commitment=damaged(part.commitment)), 1),
    ]
    for edit in edits:
        with pytest.raises(IntegrityError):
            await memory_box.rewrap(edit, NO_CASE)
