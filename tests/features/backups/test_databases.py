"""A backup of either database is restored into the other: every row, every digest; what comes after has its place."""

import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.engine import URL

from portal import config, schema, tables
from portal.backends.blobs.base import BlobStore
from portal.bootstrap import Portal, open_portal, open_resources
from portal.core.errors import ConfigError, StorageFull
from portal.core.principal import NOWHERE
from portal.db.connection import Connection
from portal.db.tables import table
from portal.db.unit_of_work import Database
from portal.features.backups import catalogue, snapshot
from portal.features.backups.catalogue import RestoreRefused
from portal.features.backups.creating import BackupOvertaken, Made
from portal.features.backups.restoring import Restored, Restoring, Schema
from portal.features.files.models import BlobRow
from portal.settings import Settings

from ...cli.conftest import Arriving, sign_up
from ...conftest import NO_DOTENV, administer

Given = tuple[Settings, dict[str, str]]
CONTENTS = [b"", b"small", b"large" * 400_000]


def settings(folder: Path, url: URL) -> Given:
    keys = {f"PORTAL_{name}": sha256(name.encode()).hexdigest() for name in ("MASTER_KEY", "SECRET_KEY")}
    database = url.render_as_string(hide_password=False)
    return config.load(keys | {"PORTAL_DATA_DIR": str(folder), "PORTAL_DATABASE_URL": database}, NO_DOTENV)


@pytest.fixture
async def portal(tmp_path: Path, database_url: URL) -> AsyncIterator[Portal]:
    """A portal with some files, on one database."""
    given = settings(tmp_path / "here", database_url)
    async with aclosing(open_resources(*given)) as resources:
        await resources.stores.establish(resources.database)
    async with open_portal(*given) as opened:
        for content in CONTENTS:
            caller, length = await sign_up(opened), len(content) if len(content) < 100 else None
            await opened.files.intake.receive(caller, Arriving(content, "a.bin", content_length=length), NOWHERE)
        yield opened


@pytest.fixture
async def other(request: pytest.FixtureRequest, tmp_path: Path, database_url: URL) -> AsyncIterator[Given]:
    """Settings with an empty database of the other kind: tables without rows, or a file that does not exist yet."""
    if database_url.get_backend_name() != "sqlite":
        yield settings(tmp_path / "there", URL.create("sqlite", database=str(tmp_path / "there.db")))
        return
    server, name = request.getfixturevalue("postgres"), f"test_{uuid.uuid4().hex}"
    template = request.getfixturevalue("postgres_template")
    await administer(server, f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    yield settings(tmp_path / "there", server.set(database=name))
    await administer(server, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
async def target(portal: Portal, tmp_path: Path) -> AsyncIterator[BlobStore]:
    async with portal.backups.targets.writable((tmp_path / "backup").as_uri()) as store:
        yield store


async def nothing(*_: Any) -> None:
    """No progress."""


async def no_keys() -> AsyncGenerator[str, None]:
    for key in tuple[str, ...]():
        yield key


async def create(portal: Portal, target: BlobStore) -> Made:
    async with aclosing(no_keys()) as keys:
        return await portal.backups.handlers.creating.create(target, keys, nothing)


async def restore(given: Given, target: BlobStore) -> Restored:
    async with aclosing(open_resources(*given)) as resources:
        engine = resources.database.engine
        migrations = Schema(
            lambda: schema.revision_of(engine), schema.newest_revision(), lambda to: schema.upgrade(engine, to)
        )
        into = Restoring(resources.database, resources.keyring, resources.stores.first, tables.metadata, migrations)
        backup = await catalogue.opened(target, resources.keyring)
        return await into.restore(target, backup, "system:test", lambda _: None)


async def rows_of(database: Database) -> dict[str, list[dict[str, Any]]]:
    """Every row that travels, without what is another portal's own."""
    found = {}
    async with database.read() as connection:
        for each in snapshot.travelling(tables.metadata):
            rows = (await connection.execute(select(each).order_by(*each.primary_key))).mappings()
            found[each.name] = [{k: v for k, v in row.items() if (each.name, k) != ("blobs", "store")} for row in rows]
    return found


async def test_a_backup_of_one_database_is_restored_into_the_other(
    portal: Portal, other: Given, target: BlobStore
) -> None:
    made = await create(portal, target)
    before = await rows_of(portal.resources.database)
    done = await restore(other, target)
    assert (done.id, done.blobs, done.copied, done.bad) == (made.id, 3, 1, 0)
    async with open_portal(*other) as restored:
        after = await rows_of(restored.resources.database)
        (event,) = [row for row in after["audit"] if row["event"] == "backup.restored"]
        after["audit"].remove(event)
        assert event["seq"] > max(row["seq"] for row in before["audit"])
        (known,) = after.pop("backups")
        assert (known["id"], known["provider_key_id"]) == (made.id, made.key_id)
        before.pop("backups")
        assert after == before
        checked = [one async for one in restored.files.maintenance.fsck(full=True)]
        assert [one.problem for one in checked] == [None] * 3
        assert sum(one.bytes_read for one in checked) == sum(map(len, CONTENTS))


async def test_a_restore_that_was_cut_off_leaves_a_portal_that_does_not_start_and_is_repeated(
    portal: Portal, other: Given, target: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await create(portal, target)

    async def full(*_: Any) -> None:
        raise StorageFull

    with monkeypatch.context() as patch:
        patch.setattr(Restoring, "_number", full)
        with pytest.raises(StorageFull):
            await restore(other, target)
    with pytest.raises(ConfigError, match="does not know"):
        async with open_portal(*other):
            pass
    done = await restore(other, target)
    assert (done.copied, done.bad) == (0, 0)
    with pytest.raises(RestoreRefused, match="has rows already"):
        await restore(other, target)


async def test_of_two_restores_at_once_the_slower_is_refused(
    portal: Portal, other: Given, target: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await create(portal, target)
    copy = Restoring._copy

    async def overtaken(self: Restoring, *given: Any) -> None:
        await copy(self, *given)
        with monkeypatch.context() as patch:
            patch.setattr(Restoring, "_copy", copy)
            await restore(other, target)

    with monkeypatch.context() as patch:
        patch.setattr(Restoring, "_copy", overtaken)
        with pytest.raises(RestoreRefused, match="has rows already"):
            await restore(other, target)
    async with open_portal(*other) as restored:
        assert [one.problem async for one in restored.files.maintenance.fsck(full=True)] == [None] * 3


async def test_a_file_that_goes_during_the_copy_has_the_backup_begun_anew(portal: Portal, target: BlobStore) -> None:
    store, blobs = portal.resources.stores.first, table(BlobRow)
    (key,) = [key async for key in store.list()]

    async def gone(connection: Connection) -> None:
        await connection.execute(update(blobs).where(blobs.c.id == uuid.UUID(hex=key)).values(wrapped_key=None))

    await store.delete(key)
    creating = portal.backups.handlers.creating
    seal = creating._seal_rows

    async def sealed(*given: Any) -> Any:
        part = await seal(*given)
        async with portal.resources.database.write() as connection:
            await gone(connection)
        return part

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(creating), "_seal_rows", lambda _self, *given: sealed(*given))
        with pytest.raises(BackupOvertaken):
            await create(portal, target)
    assert await portal.backups.list(target_url(target)) == []
    assert (await create(portal, target)).blobs == 0


def target_url(target: BlobStore) -> str:
    return "file://" + str(target).removeprefix("file, ")
