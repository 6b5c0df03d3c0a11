"""A new master key while files go out: two processes, one with the old list of keys and one with the new."""

import asyncio
from contextlib import aclosing

import pytest

from portal.backends.blobs.base import BlobStore
from portal.backends.keys.base import KeyProviderError
from portal.backends.keys.local import LocalKeyProvider
from portal.backends.scanners.none import NoScanner
from portal.db.unit_of_work import Database
from portal.keyring.keyring import Keyring
from portal.stores.stores import Stores
from portal.strongbox.model import SealedFile
from portal.strongbox.strongbox import Strongbox

from .sealing import CASE, LAYOUT, OTHER_CASE, THREE_SEGMENTS, read, recipe, seal_file

DOWNLOADS = 50


def process(store: BlobStore, database: Database, *providers: LocalKeyProvider) -> Strongbox:
    """What one process has: a keyring of its own over the same rows and blobs."""
    return Strongbox(Stores([store]), Keyring(database, providers), [NoScanner()], LAYOUT)


async def download(box: Strongbox, file: SealedFile, begun: asyncio.Event, rotated: asyncio.Event) -> bytes:
    """Take the first piece, wait for the rotation, take the rest."""
    async with aclosing((await box.open(file)).read(0, file.size)) as pieces:
        plain = bytes(await anext(pieces))
        begun.set()
        await rotated.wait()
        return plain + b"".join([piece async for piece in pieces])


async def test_downloads_go_on_while_the_master_key_is_rotated(store: BlobStore, database: Database) -> None:
    old, new = LocalKeyProvider.random(), LocalKeyProvider.random()
    before = process(store, database, old)
    plains = [recipe(THREE_SEGMENTS, seed) for seed in range(DOWNLOADS)]
    files = [await seal_file(before, plain, scope=CASE) for plain in plains]
    rotated, begun = asyncio.Event(), [asyncio.Event() for _ in files]
    running = [asyncio.create_task(download(before, *each, rotated)) for each in zip(files, begun, strict=True)]
    await asyncio.gather(*(event.wait() for event in begun))
    after = process(store, database, new, old)
    fresh = await seal_file(after, plains[0], scope=OTHER_CASE)
    assert await asyncio.gather(*(read(after, file) for file in files)) == plains
    rotated.set()
    assert await asyncio.gather(*running) == plains
    assert await read(after, fresh) == plains[0]
    assert await asyncio.gather(*(read(before, file) for file in files)) == plains


async def test_a_master_key_that_a_process_does_not_have_is_no_damage(store: BlobStore, database: Database) -> None:
    old, new = LocalKeyProvider.random(), LocalKeyProvider.random()
    early = await seal_file(process(store, database, old), b"early", scope=CASE)
    late = await seal_file(process(store, database, new, old), b"late", scope=OTHER_CASE)
    for providers, file in ((old, late), (new, early)):
        with pytest.raises(KeyProviderError):
            await read(process(store, database, providers), file)
    both = process(store, database, new, old)
    assert (await read(both, early), await read(both, late)) == (b"early", b"late")
