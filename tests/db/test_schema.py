"""Migrations on both databases: up, down, up again, and equal to what the code declares."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, insert, inspect, text
from sqlalchemy.engine import URL

from portal import schema
from portal.core.errors import ConfigError
from portal.core.package_data import migrations
from portal.db.connection import Engine
from portal.db.engine import make_engine
from portal.tables import metadata

from ..conftest import let_go


@pytest.fixture
async def engine(changeable_url: URL) -> AsyncIterator[Engine]:
    made = make_engine(changeable_url, "disable")
    yield made
    await let_go(made)


def tables(connection: Connection) -> set[str]:
    return set(inspect(connection).get_table_names()) - {"alembic_version", "sqlite_sequence"}


async def test_up_down_up(engine: Engine) -> None:
    await schema.downgrade(engine, "base")
    async with engine.read() as connection:
        assert await connection.run_sync(tables) == set()
    await schema.upgrade(engine)
    async with engine.read() as connection:
        assert await connection.run_sync(tables) == set(metadata.tables)


async def test_migrations_make_exactly_the_declared_tables(engine: Engine) -> None:
    async with engine.read() as connection:
        differences = await connection.run_sync(
            lambda sync: compare_metadata(MigrationContext.configure(sync), metadata)
        )
    assert differences == []


async def test_upgrade_is_safe_to_repeat(engine: Engine) -> None:
    await schema.upgrade(engine)
    await schema.require_current(engine)


async def test_the_accounts_of_an_older_release_come_along_and_back(engine: Engine) -> None:
    await schema.downgrade(engine, "0001")
    insert = (
        "INSERT INTO users (id, name, name_key, password_hash, role, epoch, created_at) "
        "VALUES ('0190f3a27c117d538e0c5a1d2f3b4c5d', 'ada', 'ada', 'hash', 'admin', 3, '2026-11-21 12:00:00')"
    )
    async with engine.write() as connection:
        await connection.execute(text(insert))
    await schema.upgrade(engine)
    async with engine.write() as connection:
        (user,) = await connection.execute(text("SELECT epoch, version, totp_since FROM users"))
    assert tuple(user) == (3, 1, None)
    await schema.downgrade(engine, "0001")
    async with engine.write() as connection:
        assert (await connection.execute(text("SELECT name, epoch FROM users"))).all() == [("ada", 3)]
    await schema.upgrade(engine)


async def test_an_empty_database_is_refused_with_what_to_do(engine: Engine) -> None:
    await schema.downgrade(engine, "base")
    with pytest.raises(ConfigError, match="no tables yet: run `portal db upgrade`"):
        await schema.require_current(engine)


_IDS = {name: uuid4() for name in ("users", "files", "blobs")}


async def test_tokens_sessions_and_links_of_before_the_dictionary_speak_its_words(engine: Engine) -> None:
    (migration,) = migrations().glob("versions/*_words_of_the_api.py")
    before = f"{int(migration.name[:4]) - 1:04}"
    await schema.downgrade(engine, before)
    now, user_id, new = datetime.now(UTC), uuid4(), uuid4
    user = {"name": "ada", "name_key": "ada", "password_hash": "", "role": "analyst", "epoch": 1, "version": 1}
    common = {"created_at": now, "expires_at": now}
    token = {"name": "a", "digest": b"a", "permissions": "download:raw files:change files:upload", "networks": ""}
    session = {"user_id": user_id, "epoch": 1, "refresh_digest": b"", **common}
    link = {"kind": "upload", "made_by": user_id, "digest": b"l", "message": "", "most": 1, "used": 0, "used_bytes": 0}
    link |= {"kinds": "", "failures": 0, "failed_uploads": 0, "ended_by": "maker_lost_right", **common}
    async with engine.write() as connection:
        add = metadata.tables
        await connection.execute(insert(add["users"]).values(id=user_id, created_at=now, **user))
        await connection.execute(insert(add["api_tokens"]).values(id=new(), user_id=user_id, **token, **common))
        for permissions in (None, "account administer cases:change"):
            await connection.execute(insert(add["sessions"]).values(id=new(), permissions=permissions, **session))
        await connection.execute(insert(add["links"]).values(id=new(), **link))
    await schema.upgrade(engine)
    assert await _texts(engine, "SELECT permissions FROM api_tokens") == {"files:download files:manage files:upload"}
    assert await _texts(engine, "SELECT permissions FROM sessions") == {None, "account admin cases:manage"}
    assert await _texts(engine, "SELECT ended_by FROM links") == {"creator_lost_right"}
    await schema.downgrade(engine, before)
    assert await _texts(engine, "SELECT permissions FROM api_tokens") == {"download:raw files:change files:upload"}
    await schema.upgrade(engine)


async def _texts(engine: Engine, asked: str) -> set[str | None]:
    async with engine.read() as connection:
        return set((await connection.execute(text(asked))).scalars())


async def test_files_that_lie_in_their_rows_keep_the_column_that_has_them(engine: Engine) -> None:
    rows = {
        "users": {
            "name": "ada",
            "name_key": "ada",
            "password_hash": "hash",
            "role": "analyst",
            "epoch": 1,
            "version": 1,
        },
        "files": {"owner_id": _IDS["users"], "scope": "none", "name": "a", "name_folded": "a", "kind": "other"}
        | {"description": "", "status": "ready", "version": 1},
        "blobs": {"file_id": _IDS["files"], "part": 0, "key_generation": 1, "store": "row", "content": b"sealed"},
    }
    async with engine.write() as connection:
        for name, row in rows.items():
            table = metadata.tables[name]
            when = {"created_at": datetime.now(UTC)} if "created_at" in table.c else {}
            await connection.execute(insert(table).values(id=_IDS[name], **row, **when))
    with pytest.raises(RuntimeError, match="lie in their rows"):
        await schema.downgrade(engine, "0006")
    await schema.require_current(engine)
    async with engine.write() as connection:
        assert (await connection.execute(text("SELECT content FROM blobs"))).scalar_one() == b"sealed"
        await connection.execute(text("UPDATE blobs SET content = NULL"))
    await schema.downgrade(engine, "0006")
    await schema.upgrade(engine)
