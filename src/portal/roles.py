"""The Postgres role that runs the portal: a different one from the role that owns its tables.

Comes in: an engine of the owner, and the name of a role that may sign in. Leaves: the rights that `serve` and every
command need, and no more. The role can only read and insert rows of the audit log and its numbers, and only read the
schema's revision. It gets rights on tables that a later release creates with the next
`portal db upgrade --runtime-role`.
"""

import re

from sqlalchemy import text

from portal.core.errors import ConfigError
from portal.db.connection import Connection, Engine
from portal.db.reasons import explained

_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}", re.ASCII)
_ROLE = text("SELECT rolsuper OR pg_has_role(rolname, current_user, 'MEMBER') FROM pg_roles WHERE rolname = :name")
_MAY_EDIT = text(
    "SELECT bool_or(has_table_privilege(name, 'DELETE, TRUNCATE') OR has_any_column_privilege(name, 'UPDATE'))"
    " FROM unnest(ARRAY['audit', 'audit_numbers']) name"
)
_RIGHTS = (
    "GRANT USAGE ON SCHEMA {schema} TO {role}",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {role}",
    "GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {role}",
    "REVOKE ALL ON audit, audit_numbers, alembic_version FROM {role}",
    "GRANT SELECT, INSERT ON audit, audit_numbers TO {role}",
    "GRANT SELECT ON alembic_version TO {role}",
)


async def let_work(engine: Engine, role: str) -> None:
    """Grant the role its rights, in one transaction. Safe to repeat. Raises ConfigError, DatabaseAway."""
    if engine.dialect.name != "postgresql":
        raise ConfigError("--runtime-role is for Postgres: SQLite knows no roles")
    if not _NAME.fullmatch(role):
        raise ConfigError("--runtime-role: a name has lower-case letters, digits and _")
    with explained(engine.url):
        async with engine.write() as connection:
            await _require_lesser(connection, role)
            schema = await connection.scalar(text("SELECT quote_ident(current_schema())"))
            for statement in _RIGHTS:
                await connection.execute(text(statement.format(schema=schema, role=f'"{role}"')))


async def may_edit_audit(engine: Engine) -> bool:
    """Whether this engine's role could change or delete rows of the audit log. Raises ConfigError, DatabaseAway."""
    if engine.dialect.name != "postgresql":
        return True
    with explained(engine.url):
        async with engine.read() as connection:
            return bool(await connection.scalar(_MAY_EDIT))


async def _require_lesser(connection: Connection, role: str) -> None:
    mighty = await connection.scalar(_ROLE, {"name": role})
    if mighty is None:
        raise ConfigError(f"there is no database role {role}: CREATE ROLE {role} LOGIN PASSWORD '…'")
    if mighty:
        raise ConfigError(f"the database role {role} owns the tables or may do anything: take another for the portal")
