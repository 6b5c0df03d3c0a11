"""A Postgres database whose planner believes in a large portal: little is in it, its statistics say that it is much.

Comes in: a migrated, empty database. Leaves: each table with some thousand rows and the statistics of millions. Columns
that statements filter by have the values of a portal in use: a few owners of nearly all files, times up to now, now and
then a revoked row. Of what sweeps look for, and of administrators, there is nothing. Next: `plans` asks for plans.
"""

from typing import Any

import asyncpg
from sqlalchemy import Column, Table
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import URL

from portal.tables import metadata

SMALL = {"stores", "case_numbers", "signing_keys"}
"""Tables that do not grow: an operator adds a handful of rows, or a year does."""
SHARED = "a" * 64
"""The SHA-256 of many files: all others have one of their own."""
_ROWS = 2_000
_TIMES = 20_000  # so often each row is believed to be there
_FEW = "md5('group' || {chance} % 500)::uuid"  # of each value 4 rows of 2,000: of more rows, still 4
_MANY = "md5('group' || {chance} % 50)::uuid"  # few values, so that of more rows each has more
_SELDOM = "CASE WHEN {chance} %% 100 = 0 THEN %s END"
_AHEAD = "now() + n * interval '1 hour'"
_JUST = "now() - n * interval '1 minute'"
_BY_TYPE = {
    "UUID": _FEW,
    "VARCHAR": "'v' || n",
    "TEXT": "'text ' || n",
    "BYTEA": "decode(md5('' || n), 'hex')",
    "TIMESTAMP": "now() - n * interval '1 day'",
    "INTEGER": "n",
    "BIGINT": "n",
    "BOOLEAN": "true",
}
_WORDS = {  # the first is that of nearly all rows
    "files.status": ("ready", "quarantined", "deleted"),
    "files.kind": ("other", "log", "evidence"),
    "case_members.role": ("contributor", "lead", "reader", "uploader"),
    "cases.status": ("closed", "open", "in_progress", "archived"),
    "cases.tlp": ("AMBER", "GREEN", "CLEAR", "RED"),
    "jobs.kind": ("sweep_files", "sweep_rows"),
    "jobs.status": ("done", "failed"),
    "link_uses.state": ("done", "broken"),
    "users.role": ("uploader", "analyst"),
    "audit.event": ("file.download_started", "file.uploaded"),
}
_BY_NAME = {
    "files.owner_id": _MANY,
    "files.case_id": f"CASE WHEN {{chance}} / 1000 < 5 THEN {_MANY} END",
    "files.sha256": f"CASE WHEN {{chance}} % 10 < 2 THEN '{SHARED}' ELSE md5('' || n) END",
    "file_grants.case_id": _MANY,
    "links.case_id": _MANY,
    "files.idempotency_key": "NULL",
    "jobs.unique_key": "NULL",
    "audit.subject": "'subject-' || n % 1000",
    "audit.actor": "'actor-' || n % 1000",
    "audit_outbox.sink": "'sink-' || n % 2",
    "blobs.store": "'store-' || n % 2",
    "data_keys.provider_key_id": "'provider-' || n % 2",
    "invitations.user_id": _SELDOM % _FEW,
    "link_uses.lease_until": _JUST,
    "claimed_until": _SELDOM % _AHEAD,
    "content": _SELDOM % "decode(md5('' || n), 'hex')",
    "disabled_at": _SELDOM % _JUST,
    "ended_by": "NULL",
    "expires_at": _AHEAD,
    "finished_at": _JUST,
    "last_at": _JUST,
    "lease_until": "NULL",
    "retired_at": _SELDOM % _JUST,
    "seen_at": _JUST,
    "revoked_at": _SELDOM % _JUST,
}
_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]
_ENLARGE = f"""
    UPDATE pg_class SET reltuples = reltuples * {_TIMES} WHERE oid = ANY($1::regclass[])
    OR oid IN (SELECT indexrelid FROM pg_index WHERE indrelid = ANY($1::regclass[]))
"""  # noqa: S608  # a number of ours


async def fill(url: URL) -> None:
    """Fill every table of a migrated database. The user must be a superuser."""
    plain = url.set(drivername="postgresql")
    connection = await asyncpg.connect(plain.render_as_string(hide_password=False))
    try:
        await connection.execute("SET session_replication_role = replica")  # no foreign key is looked at
        await connection.execute("SET default_statistics_target = 40")  # not each of 50 values is kept
        await connection.execute("; ".join(_filled(table) for table in metadata.sorted_tables) + "; ANALYZE")
        await connection.execute(_ENLARGE, sorted(metadata.tables.keys() - SMALL))
    finally:
        await connection.close()


def _filled(table: Table) -> str:
    values = ", ".join(_value(table, column).format(chance=_chance(table, column)) for column in table.c)
    names = ", ".join(column.name for column in table.c)
    rows = 5 if table.name in SMALL else _ROWS
    insert = f"INSERT INTO {table.name} ({names}) SELECT {values} FROM generate_series(1, {rows}) AS n"  # noqa: S608
    return f"{insert} ON CONFLICT DO NOTHING"


def _value(table: Table, column: Column[Any]) -> str:
    """The expression of a column's value in the row of the number `n`."""
    name, kind = f"{table.name}.{column.name}", column.type.compile(_DIALECT).partition("(")[0].split()[0]
    if name in _WORDS:
        most, *others = _WORDS[name]
        other = f"(ARRAY{others})[1 + {{chance}} / 100 % {len(others)}]"
        return f"CASE WHEN {{chance}} % 100 < 98 THEN '{most}' ELSE {other} END"
    if kind == "UUID" and (column.unique or list(table.primary_key) == [column]):
        return "md5('' || n)::uuid"
    return _BY_NAME.get(name, _BY_NAME.get(column.name, _BY_TYPE[kind]))


def _chance(table: Table, column: Column[Any]) -> str:
    """A number that depends on the row and the column alone: columns do not depend on each other."""
    return f"abs(hashint4extended(n, {list(table.c).index(column)}) % 10000)"
