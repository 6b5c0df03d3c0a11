"""What every suite shares: a migrated database of either kind, and a strongbox over memory twins.

Postgres is real: the server named by PORTAL_TEST_POSTGRES (a URL of a superuser), else the one that the development
dependencies carry; so are OpenBao, which they carry too, and Redis, which is Debian's. Where one does not start, its
tests are skipped and the run says so, unless PORTAL_TEST_NO_SKIP is set.
"""

import functools
import gc
import os
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, NoReturn

import asyncpg
import httpx
import pytest
from hypothesis import settings as hypothesis_settings
from sqlalchemy import create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.ext.asyncio import create_async_engine

from portal import schema
from portal.core import tasks
from portal.db.connection import Engine
from portal.db.engine import make_engine, parse_url
from portal.db.unit_of_work import Database

from . import compiled, large_postgres, own_loop, own_openbao, own_postgres, own_softhsm, own_sqlite, plans, scans
from . import own_redis as own_redis_server
from .own_moto import OwnMoto
from .own_openbao import OwnOpenBao
from .own_redis import OwnRedis
from .own_softhsm import OwnSoftHsm

NO_SKIP = bool(os.environ.get("PORTAL_TEST_NO_SKIP"))

# Tests never time. A claim that hundreds of examples are to hold has a suite of its own (tests/reliability/fuzzing.py).
_RELEASE = bool(os.environ.get("PORTAL_TEST_RELEASE"))
hypothesis_settings.register_profile(
    "portal",
    deadline=None,
    max_examples=100 if _RELEASE else 25,
    # CI judges a change, by the same examples each time; `make test` and a release look at new ones.
    derandomize=NO_SKIP and not _RELEASE,
)
hypothesis_settings.load_profile("portal")

NO_DOTENV = Path(__file__).with_name("no-dotenv")  # a name in a folder of our own: nothing lies there on any machine
_FOLDER = pytest.StashKey[tempfile.TemporaryDirectory[str]]()
_SLOW = "reliability"
_SHARED = "sdk"  # these have a session's fixture that takes longer than they do


def skip(reason: str) -> NoReturn:
    """Skip loudly; fail where skipping is forbidden."""
    if NO_SKIP:
        pytest.fail(f"skipping is forbidden here: {reason}")
    pytest.skip(reason)


def pytest_configure(config: pytest.Config) -> None:
    """Make the folder of the run, which goes with this process: its workers learn of it in `pytest_configure_node`.

    As root Postgres gives its data folder and all its parents to others to read: so it is no folder of pytest's.
    """
    if not hasattr(config, "workerinput"):
        config.stash[_FOLDER] = tempfile.TemporaryDirectory(prefix="portal-run-")


def pytest_configure_node(node: Any) -> None:
    node.workerinput["run_folder"] = node.config.stash[_FOLDER].name


def _run_folder(config: pytest.Config) -> Path:
    given = getattr(config, "workerinput", None)
    return Path(config.stash[_FOLDER].name if given is None else given["run_folder"])


def pytest_xdist_auto_num_workers() -> int:
    """Twice as many as cores: tests wait for servers and processes as long as they compute."""
    return 2 * (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


@pytest.hookimpl(trylast=True)  # behind what shuffles them
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Each worker begins with its share of the slowest suites, so that none of them is the last to end. The first
    worker has all tests of what it makes once in a session.
    """
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    shared = [item for item in items if _SHARED in item.path.parts]
    slow = [item for item in items if _SLOW in item.path.parts]
    quick = [item for item in items if not {_SHARED, _SLOW} & set(item.path.parts)]
    share = -(-len(quick) // workers)
    shares = [slow[worker::workers] + quick[worker * share :][:share] for worker in range(workers)]
    items[:] = [*shared, *(item for one in shares for item in one)]


def pytest_collection_finish() -> None:
    """What was imported and collected stays to the end: no search for garbage has to go through it again."""
    gc.collect()
    gc.freeze()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print what suites counted (see `reliability/conftest.py`). Here, where the process that prints has it."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            if name == "figures":
                terminalreporter.write_line(f"figures of {report.nodeid.rpartition('/')[2]}: {value}")


@pytest.fixture(scope="session", autouse=True)
def certificates_are_read_once() -> Iterator[None]:
    """httpx reads all certificates for every client: twenty times what a request on loopback costs."""
    with pytest.MonkeyPatch.context() as patch:
        once = functools.cache(httpx.create_ssl_context)
        patch.setattr("httpx._transports.default.create_ssl_context", once)
        yield


@pytest.fixture(scope="session")
def postgres_package(pytestconfig: pytest.Config) -> Any:
    """What starts Postgres servers."""
    package = own_postgres.package(_run_folder(pytestconfig))
    if package is None:
        skip("no Postgres: set PORTAL_TEST_POSTGRES or install the development dependencies")
    return package


@pytest.fixture(scope="session")
def postgres(request: pytest.FixtureRequest) -> Iterator[URL]:
    """A Postgres server that all workers of the run share, by URL."""
    named = os.environ.get("PORTAL_TEST_POSTGRES")
    if named:
        yield parse_url(named)
        return
    package = request.getfixturevalue("postgres_package")
    server = package.get_server(_run_folder(request.config) / "postgres", cleanup_mode="stop")
    url = make_url(server.get_uri()).set(drivername="postgresql+asyncpg", username="postgres")
    for setting in ("fsync", "autovacuum"):  # nobody pulls the plug here, and nothing stays for long
        own_loop.run(administer(url, f"ALTER SYSTEM SET {setting} = off"))
    own_loop.run(administer(url, "SELECT pg_reload_conf()"))
    yield url
    server.cleanup()


@pytest.fixture(scope="session")
def postgres_template(postgres: URL) -> Iterator[str]:
    """The name of a migrated, empty database to copy from."""
    name = f"template_{uuid.uuid4().hex}"

    async def make() -> None:
        await administer(postgres, f'CREATE DATABASE "{name}"')
        engine = make_engine(postgres.set(database=name), "disable")
        await schema.upgrade(engine)
        await engine.dispose()

    own_loop.run(make())
    yield name
    own_loop.run(administer(postgres, f'DROP DATABASE "{name}"'))


@pytest.fixture(scope="session")
def worker_postgres(postgres: URL, postgres_template: str) -> Iterator[URL]:
    """The one migrated database that the tests of a worker take turns in: `emptied` before each."""
    name = f"worker_{uuid.uuid4().hex}"
    own_loop.run(administer(postgres, f'CREATE DATABASE "{name}" TEMPLATE "{postgres_template}"'))
    yield postgres.set(database=name)
    own_loop.run(administer(postgres, f'DROP DATABASE "{name}" WITH (FORCE)'))


@pytest.fixture(scope="session")
def planner(postgres: URL, postgres_template: str) -> Iterator[plans.Planner]:
    """What a large Postgres would do for a statement."""
    name = f"large_{uuid.uuid4().hex}"
    own_loop.run(administer(postgres, f'CREATE DATABASE "{name}" TEMPLATE "{postgres_template}"'))
    own_loop.run(large_postgres.fill(postgres.set(database=name)))
    made = plans.Planner(postgres.set(database=name))
    yield made
    made.close()
    own_loop.run(administer(postgres, f'DROP DATABASE "{name}"'))


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty database file to copy."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    path.write_bytes(own_sqlite.migrated())
    return path


@pytest.fixture
def database_file(tmp_path: Path, sqlite_template: Path) -> Path:
    """A migrated, empty SQLite database."""
    path = tmp_path / "portal.db"
    path.write_bytes(sqlite_template.read_bytes())
    return path


@pytest.fixture(params=["sqlite", "postgres"])
async def database_url(request: pytest.FixtureRequest) -> URL:
    """A migrated database of each kind with empty tables."""
    if request.param == "sqlite":
        return parse_url(f"sqlite:///{request.getfixturevalue('database_file')}")
    url: URL = request.getfixturevalue("worker_postgres")
    await administer(url, own_postgres.EMPTY)
    return url


@pytest.fixture(params=["sqlite", "postgres"])
async def changeable_url(request: pytest.FixtureRequest) -> AsyncIterator[URL]:
    """The same, for tests that change more than rows: on Postgres a database of the test's own."""
    if request.param == "sqlite":
        yield parse_url(f"sqlite:///{request.getfixturevalue('database_file')}")
        return
    server, name = request.getfixturevalue("postgres"), f"test_{uuid.uuid4().hex}"
    template = request.getfixturevalue("postgres_template")
    await administer(server, f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    yield server.set(database=name)
    await administer(server, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
async def engine(
    request: pytest.FixtureRequest, database_url: URL, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Engine]:
    monkeypatch.setattr("portal.db.engine._POOL_WAIT_SECONDS", 60)  # tests never time: a busy machine takes longer
    monkeypatch.setattr("portal.db.engine.create_async_engine", compiled.sharing(create_async_engine))
    monkeypatch.setattr("portal.db.sqlite.engine.create_engine", compiled.sharing(create_engine))
    made = make_engine(database_url, "disable")
    if made.dialect.name == "sqlite":  # nobody pulls the plug here
        event.listen(made.sync_engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous = OFF"))
        scans.refuse(made)
    else:
        plans.refuse(made, request.getfixturevalue("planner"))
    async with made.read():
        compiled.keep(made.dialect)
    yield made
    await let_go(made)


async def let_go(engine: Engine) -> None:
    """Dispose of an engine that nobody works with any more: a connection that comes back later is closed by nobody."""
    await tasks.drain()
    pool: Any = engine.pool
    assert pool.checkedout() == 0
    await engine.dispose()


@pytest.fixture
async def database(engine: Engine) -> Database:
    return Database(engine)


@pytest.fixture
def own_redis() -> Iterator[OwnRedis]:
    """A Redis that the test may stop."""
    program = own_redis_server.program()
    if program is None:
        skip("no redis-server: install it, or let .ci/run do it")
    with tempfile.TemporaryDirectory(prefix="portal-redis-") as folder:
        server = OwnRedis(program, Path(folder))
        yield server
        server.end()


@pytest.fixture(scope="session")
def openbao() -> Iterator[OwnOpenBao]:
    """An OpenBao server that the tests of a worker share. A test that seals or kills it has it start again."""
    program = own_openbao.program()
    if program is None:
        skip("no OpenBao: install the development dependencies")
    with tempfile.TemporaryDirectory(prefix="portal-openbao-") as folder:
        server = OwnOpenBao(program, Path(folder))
        yield server
        server.end()


@pytest.fixture(scope="session")
def softhsm() -> Iterator[OwnSoftHsm]:
    """A SoftHSM that the tests of a worker share, with a token `portal` and its key `master`."""
    module = own_softhsm.module()
    if module is None:
        skip("no SoftHSM: install softhsm2, or let .ci/run do it")
    with tempfile.TemporaryDirectory(prefix="portal-softhsm-") as folder:
        made = OwnSoftHsm(module, Path(folder))
        made.make_token("portal")
        made.make_key("portal", "master")
        yield made


@pytest.fixture(scope="session")
def moto_server() -> Iterator[OwnMoto]:
    """A server with the API of AWS that the tests of a worker share."""
    with tempfile.TemporaryDirectory(prefix="portal-moto-") as folder:
        server = OwnMoto(Path(folder))
        yield server
        server.end()


async def administer(server: URL, statement: str) -> None:
    """Run a statement as a superuser, outside of any transaction."""
    plain = server.set(drivername="postgresql")
    connection = await asyncpg.connect(plain.render_as_string(hide_password=False))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
