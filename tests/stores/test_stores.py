"""Stores that the database knows, on both databases: made once, told apart, and never taken for damage."""

from pathlib import Path

import pytest

from portal.backends.blobs.base import StoreAway
from portal.backends.blobs.local import LocalStore
from portal.backends.blobs.memory import MemoryStore
from portal.core import clock
from portal.core.errors import ConfigError
from portal.core.ids import new_id
from portal.core.principal import Role
from portal.crypto.format import BlobContext
from portal.db.unit_of_work import Database
from portal.features.files import blob_rows
from portal.features.files import repository as files
from portal.features.identity import repository as accounts
from portal.features.identity.repository import User
from portal.stores.stores import Stores, StoreUse


@pytest.fixture
def old(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "old")


@pytest.fixture
def new(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "new")


async def blob_in(database: Database, store: str) -> None:
    """A blob's row that names `store`."""
    user = User(new_id(), name := new_id().hex, name, "no password", Role.ANALYST, 1, now := clock.now())
    file_id = new_id()
    file = {"id": file_id, "owner_id": user.id, "scope": "none", "name": "n", "created_at": now}
    async with database.write() as connection:
        assert await accounts.add_user(connection, user)
        assert await files.add(connection, file)
        await blob_rows.add_blob(connection, BlobContext(file_id, new_id()), store)


async def test_a_new_database_gives_its_store_an_id_once(database: Database, old: LocalStore) -> None:
    await Stores([old]).establish(database)
    made = old.id
    await Stores([old]).establish(database)
    await Stores([old]).recognise(database)
    assert await old.identify() == made
    assert await Stores([old]).uses(database) == [StoreUse(made, "file", there=True, writes=True, blobs=0)]


async def test_blobs_of_before_stores_had_ids_lie_in_the_first(
    database: Database, old: LocalStore, new: LocalStore
) -> None:
    for store in ("file", "file", "row"):
        await blob_in(database, store)
    await Stores([old]).establish(database)
    assert [use.blobs for use in await Stores([old]).uses(database)] == [2]
    await Stores([new, old]).add_missing(database)
    uses = {use.id: use for use in await Stores([new, old]).uses(database)}
    assert (uses[old.id].blobs, uses[new.id].blobs) == (2, 0)


async def test_what_was_cut_off_between_the_stores_id_and_the_database_is_taken_up(
    database: Database, old: LocalStore
) -> None:
    await old.found(made := new_id())
    await Stores([old]).establish(database)
    await Stores([old]).recognise(database)
    assert old.id == made


@pytest.mark.parametrize("mounted", ["nothing", "an empty folder"])
async def test_a_store_that_is_not_mounted_stops_the_start_and_nothing_is_made(
    database: Database, old: LocalStore, tmp_path: Path, mounted: str
) -> None:
    await Stores([old]).establish(database)
    (tmp_path / "old").rename(tmp_path / "unmounted")
    if mounted == "an empty folder":
        (tmp_path / "old").mkdir()
    for _ in range(2):
        await Stores([old]).establish(database)
        with pytest.raises(ConfigError, match="is the volume mounted"):
            await Stores([old]).recognise(database)
    assert not list((tmp_path / "old").glob("*"))


async def test_another_portals_store_stops_the_start(database: Database, old: LocalStore, new: LocalStore) -> None:
    await Stores([old]).establish(database)
    await new.found(new_id())
    with pytest.raises(ConfigError, match="does not know"):
        await Stores([new]).recognise(database)


async def test_one_store_twice_stops_the_start(database: Database, old: LocalStore, tmp_path: Path) -> None:
    await Stores([old]).establish(database)
    with pytest.raises(ConfigError, match="twice"):
        await Stores([old, LocalStore(tmp_path / "old")]).recognise(database)


async def test_a_new_store_is_made_only_when_asked_for(database: Database, old: LocalStore, new: LocalStore) -> None:
    await Stores([old]).establish(database)
    both = Stores([new, old])
    await both.establish(database)
    with pytest.raises(ConfigError, match="portal stores add"):
        await both.recognise(database)
    assert await both.add_missing(database) == [new.id]
    assert await both.add_missing(database) == []
    await both.recognise(database)
    assert (both.first, both.of(old.id.hex), both.of(new.id.hex)) == (new, old, new)


async def test_no_store_is_made_while_one_that_has_blobs_is_not_there(
    database: Database, old: LocalStore, new: LocalStore, tmp_path: Path
) -> None:
    await Stores([old]).establish(database)
    await blob_in(database, old.id.hex)
    (tmp_path / "old").rename(tmp_path / "unmounted")
    with pytest.raises(ConfigError, match="mount it"):
        await Stores([new, old]).add_missing(database)
    assert not (tmp_path / "new").exists()
    assert not (tmp_path / "old").exists()


async def test_a_store_that_is_not_configured_is_away_and_the_others_are_read(
    database: Database, old: LocalStore, new: LocalStore
) -> None:
    await Stores([new, old]).establish(database)
    only = Stores([new])
    await only.recognise(database)
    with pytest.raises(StoreAway):
        only.of(old.id.hex)
    assert [use.there for use in sorted(await only.uses(database), key=lambda use: use.there)] == [False, True]


async def test_memory_is_a_store_that_is_always_known(database: Database) -> None:
    await Stores([MemoryStore()]).establish(database)
    memory = MemoryStore()
    await Stores([memory]).recognise(database)
    assert Stores([memory]).of(memory.id.hex) is memory
