"""A list of 50 files in a portal that has many, beside the same in one that has few: what listing costs as it grows.

The files are rows alone, copies of one upload's, made by SQL beside the idle server: nobody opens them. Each has an
id, a time and a name of its own.
"""

import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path

from bench import transfer
from bench.peers import portal
from bench.peers.portal import FORM_PATH, Portal
from bench.plan import FEW_FILES, SMALL
from bench.request import Request
from bench.rows.base import Operation, Setting
from bench.rows.requests import PAGE, UNTIMED, Kind, measured

_FEW = 1_000
_OTHER = {
    "id": "printf('%032x', n)",
    "created_at": "strftime('%Y-%m-%d %H:%M:%S.000000', 1577836800 + n, 'unixepoch')",
    "available_at": "strftime('%Y-%m-%d %H:%M:%S.000000', 1577836800 + n, 'unixepoch')",
    "name": "'file-' || n",
    "name_folded": "'file-' || n",
    "idempotency_key": "NULL",
}
"""What a copy has of its own, by its number `n`."""
_COPY = """
    WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?)
    INSERT INTO files ({names}) SELECT {values} FROM numbers, (SELECT * FROM files LIMIT 1)
"""


def prepare(setting: Setting) -> dict[str, Operation]:
    sizes = {"portal": setting.sizes.many, FEW_FILES: _FEW}
    return {name: partial(_listed, _filled(setting, files), setting.sizes.ranges) for name, files in sizes.items()}


def _filled(setting: Setting, files: int) -> Portal:
    """A portal of its own with so many files."""
    folder = setting.folder / f"portal-of-{files}"
    folder.mkdir()
    server = setting.stack.enter_context(portal.serve(folder, 1))
    transfer.put(server, setting.sources.of(SMALL))
    _copy(server.home / "var" / "portal.db", files - 1)
    return server


def _copy(database: Path, times: int) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        columns = [column for _, column, *_ in connection.execute("PRAGMA table_info(files)")]
        values = ", ".join(_OTHER.get(column, column) for column in columns)
        connection.execute(_COPY.format(names=", ".join(columns), values=values), (times,))


def _listed(server: Portal, times: int) -> tuple[float]:
    """Milliseconds of the processor for one list, without a socket."""
    page = Request("GET", f"{FORM_PATH}?limit={PAGE}")
    (told,) = measured(server, [Kind([page] * (times + UNTIMED))])
    return (told["milliseconds"],)
