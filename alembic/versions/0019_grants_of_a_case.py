"""grants of a case

Comes in: grants whose case only their files know, and own files in a case in the order of their uploads alone.
Leaves: the case beside each grant, an index of it in the order of listings, one of the grants that end next, and one of
an account's own files in a case by the time at which they became available.
"""

import sqlalchemy as sa

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

_OF_FILE = "(SELECT case_id FROM files WHERE files.id = file_grants.file_id)"
_IN_CASE = sa.text("status IN ('ready', 'quarantined') AND case_id IS NOT NULL")
_HAS_CASE = sa.text("case_id IS NOT NULL")


def upgrade() -> None:
    op.add_column("file_grants", sa.Column("case_id", sa.Uuid(), nullable=True))
    op.execute(f"UPDATE file_grants SET case_id = {_OF_FILE}")  # noqa: S608  # words of ours
    _index("ix_file_grants_case_created", "file_grants", ["case_id", "created_at", "id"], _HAS_CASE)
    _index("ix_file_grants_expires", "file_grants", ["expires_at"])
    _index("ix_files_case_owner_available", "files", ["case_id", "owner_id", "available_at", "id"], _IN_CASE)
    if op.get_bind().dialect.name == "postgresql":  # fast before autovacuum comes by
        op.execute("ANALYZE file_grants")


def downgrade() -> None:
    op.drop_index("ix_files_case_owner_available", "files")
    op.drop_index("ix_file_grants_expires", "file_grants")
    op.drop_index("ix_file_grants_case_created", "file_grants")
    op.drop_column("file_grants", "case_id")


def _index(name: str, table: str, columns: list[str], where: sa.TextClause | None = None) -> None:
    op.create_index(name, table, columns, sqlite_where=where, postgresql_where=where)
