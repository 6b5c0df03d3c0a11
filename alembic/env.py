"""Alembic's entry: runs migrations on the connection that `portal.schema` hands over, whichever dialect it is."""

from sqlalchemy import Connection, text

from alembic import context
from portal.tables import metadata


def run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        compare_server_default=True,
        transactional_ddl=True,
        user_module_prefix="types.",
    )
    with context.begin_transaction():
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(6027410861)"))  # "portal" on a telephone's keys
        context.run_migrations()


given: Connection | None = context.config.attributes.get("connection")
if given is None:
    raise SystemExit("run migrations with `portal db upgrade`")
run(given)
