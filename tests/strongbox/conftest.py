"""A strongbox over a SQLite database and either store."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from portal.backends.blobs.base import BlobStore
from portal.backends.blobs.local import LocalStore
from portal.backends.blobs.memory import MemoryStore
from portal.backends.keys.local import LocalKeyProvider
from portal.backends.scanners.none import NoScanner
from portal.core.ids import new_id
from portal.db.engine import make_engine, parse_url
from portal.db.unit_of_work import Database
from portal.keyring.keyring import Keyring
from portal.stores.stores import Stores
from portal.strongbox.strongbox import Strongbox

from .sealing import LAYOUT


@pytest.fixture
async def database(database_file: Path) -> AsyncIterator[Database]:
    made = Database(make_engine(parse_url(f"sqlite:///{database_file}"), "disable"))
    yield made
    await made.aclose()


@pytest.fixture
def keyring(database: Database) -> Keyring:
    return Keyring(database, [LocalKeyProvider.random()])


@pytest.fixture(params=["local", "memory"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    made = LocalStore(tmp_path / "store") if request.param == "local" else MemoryStore()
    if isinstance(made, LocalStore):
        await made.found(new_id())
    return made


@pytest.fixture
def box(store: BlobStore, keyring: Keyring) -> Strongbox:
    return Strongbox(Stores([store]), keyring, [NoScanner()], LAYOUT)


@pytest.fixture
def memory() -> MemoryStore:
    """A store whose blobs a test may change behind the strongbox's back."""
    return MemoryStore()


@pytest.fixture
def memory_box(memory: MemoryStore, keyring: Keyring) -> Strongbox:
    return Strongbox(Stores([memory]), keyring, [NoScanner()], LAYOUT)
