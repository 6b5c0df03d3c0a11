"""The role that runs the portal: it does everything, except to change tables and what is on record. Real Postgres."""

import uuid
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from portal import roles, schema
from portal.core.errors import ConfigError
from portal.db.connection import Engine
from portal.db.engine import make_engine, parse_url
from portal.tables import metadata

from .conftest import administer


@pytest.fixture
async def owned(postgres: URL, postgres_template: str) -> AsyncIterator[URL]:
    """A migrated database, and a role of its name that may sign in and nothing else."""
    name = f"role_{uuid.uuid4().hex}"
    await administer(postgres, f'CREATE DATABASE "{name}" TEMPLATE "{postgres_template}"')
    await administer(postgres, f'CREATE ROLE "{name}" LOGIN')
    yield postgres.set(database=name)
    await administer(postgres, f'DROP DATABASE "{name}" WITH (FORCE)')
    await administer(postgres, f'DROP ROLE "{name}"')


@pytest.fixture
async def owner(owned: URL) -> AsyncIterator[Engine]:
    engine = make_engine(owned, "disable")
    yield engine
    await engine.dispose()


@pytest.fixture
async def runtime(owned: URL, owner: Engine) -> AsyncIterator[Engine]:
    assert owned.database
    for _ in range(2):
        await roles.let_work(owner, owned.database)
    engine = make_engine(owned.set(username=owned.database), "disable")
    yield engine
    await engine.dispose()


async def run(engine: Engine, statement: str) -> None:
    async with engine.write() as connection:
        await connection.execute(text(statement))


ADD = "INSERT INTO audit (id, at, event, actor, body) VALUES (gen_random_uuid(), now(), 'test', 'test', '{}')"
REFUSED = [
    "UPDATE audit SET actor = 'somebody else'",
    "DELETE FROM audit",
    "UPDATE audit_numbers SET number = number + 1",
    "DELETE FROM audit_numbers",
    "TRUNCATE audit",
    "DROP TABLE audit",
    "ALTER TABLE audit DISABLE TRIGGER ALL",
    "ALTER TABLE files ADD COLUMN more text",
    "CREATE RULE r AS ON INSERT TO audit DO INSTEAD NOTHING",
    "SELECT setval('audit_seq_seq', 1)",
    "UPDATE alembic_version SET version_num = 'future'",
    "DELETE FROM alembic_version",
    "TRUNCATE files",
    "SET ROLE postgres",
]


@pytest.mark.parametrize("statement", REFUSED)
async def test_what_is_on_record_and_the_tables_stay_as_they_are(runtime: Engine, statement: str) -> None:
    await run(runtime, ADD)
    with pytest.raises(DBAPIError) as caught:
        await run(runtime, statement)
    assert getattr(caught.value.orig, "sqlstate", None) == "42501"
    async with runtime.read() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM audit WHERE actor = 'test'")) == 1


async def test_every_other_table_can_be_worked_with(runtime: Engine) -> None:
    assert len(metadata.tables) > 10
    async with runtime.read() as connection:
        for name in set(metadata.tables) - {"audit", "audit_numbers"}:
            for right in ("SELECT", "INSERT", "UPDATE", "DELETE"):
                granted = await connection.scalar(text(f"SELECT has_table_privilege('{name}', '{right}')"))
                assert granted, (name, right)
    await schema.require_current(runtime)


async def test_whether_a_role_could_edit_the_record_is_known(owner: Engine, runtime: Engine) -> None:
    assert (await roles.may_edit_audit(owner), await roles.may_edit_audit(runtime)) == (True, False)


async def test_a_role_that_lacks_its_rights_is_told_the_command(owned: URL) -> None:
    engine = make_engine(owned.set(username=owned.database), "disable")
    try:
        with pytest.raises(ConfigError, match="--runtime-role"):
            await schema.require_current(engine)
    finally:
        await engine.dispose()


@pytest.mark.parametrize(
    ("role", "told"),
    [
        ("postgres", "owns the tables or may do anything"),
        ("nobody_of_that_name", "CREATE ROLE nobody_of_that_name LOGIN"),
        ('x"; DROP TABLE audit; --', "lower-case letters"),
        ("", "lower-case letters"),
    ],
)
async def test_a_role_that_will_not_do_is_refused(owner: Engine, role: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        await roles.let_work(owner, role)


async def test_a_member_of_the_owner_is_refused(owned: URL, owner: Engine) -> None:
    assert owned.database
    await run(owner, f'GRANT pg_read_all_data TO "{owned.database}"')
    await roles.let_work(owner, owned.database)
    await run(owner, f'GRANT postgres TO "{owned.database}"')
    with pytest.raises(ConfigError, match="owns the tables"):
        await roles.let_work(owner, owned.database)


async def test_sqlite_knows_no_roles(sqlite_template: object) -> None:
    engine = make_engine(parse_url(f"sqlite:///{sqlite_template}"), "disable")
    with pytest.raises(ConfigError, match="SQLite knows no roles"):
        await roles.let_work(engine, "portal")
    assert await roles.may_edit_audit(engine)
    await engine.dispose()
