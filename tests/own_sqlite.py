"""An empty SQLite database of this release. A copy of it costs less than its migrations: each process makes one."""

import functools
import tempfile
from pathlib import Path

from portal import schema
from portal.db.engine import make_engine, parse_url

from . import own_loop


@functools.cache
def migrated() -> bytes:
    """The database file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "portal.db"
        own_loop.run(_migrate(path))
        return path.read_bytes()


async def _migrate(path: Path) -> None:
    engine = make_engine(parse_url(f"sqlite:///{path}"), "disable")
    await schema.upgrade(engine)
    await engine.dispose()
