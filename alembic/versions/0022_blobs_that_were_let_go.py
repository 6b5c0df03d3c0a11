"""blobs that were let go have a time to go"""

from datetime import UTC, datetime

import sqlalchemy as sa
from sqlmodel.sql.sqltypes import UTCDateTime

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

_OVER = "status IN ('pending', 'failed', 'rejected')"
_OVER_BEFORE = "status IN ('pending', 'deleting', 'failed', 'rejected')"


def upgrade() -> None:
    op.add_column("blobs", sa.Column("goes_at", UTCDateTime(), nullable=True))
    # What a crash left of deletes and failed uploads may go now. A delete is over when its keys are gone.
    left = sa.text(
        "UPDATE blobs SET goes_at = :now"
        " WHERE file_id IN (SELECT id FROM files WHERE status IN ('deleting', 'failed', 'rejected'))"
    )
    op.execute(left.bindparams(sa.bindparam("now", datetime.now(UTC), UTCDateTime())))
    op.execute("UPDATE files SET status = 'deleted' WHERE status = 'deleting'")
    _index("ix_blobs_goes", "blobs", ["goes_at", "id"], "goes_at IS NOT NULL")
    op.drop_index("ix_files_unsettled", table_name="files")
    _index("ix_files_unsettled", "files", ["id"], _OVER)
    op.drop_index("ix_files_gone", table_name="files")
    _index("ix_files_gone", "files", ["available_at"], "status = 'deleted'")


def downgrade() -> None:
    waits = "SELECT file_id FROM blobs WHERE goes_at IS NOT NULL"
    op.execute(f"UPDATE files SET status = 'deleting' WHERE status = 'deleted' AND id IN ({waits})")  # noqa: S608  # ours
    op.drop_index("ix_files_gone", table_name="files")
    _index("ix_files_gone", "files", ["available_at"], "status IN ('deleting', 'deleted')")
    op.drop_index("ix_files_unsettled", table_name="files")
    _index("ix_files_unsettled", "files", ["id"], _OVER_BEFORE)
    op.drop_index("ix_blobs_goes", table_name="blobs")
    op.drop_column("blobs", "goes_at")


def _index(name: str, table: str, columns: list[str], where: str) -> None:
    op.create_index(name, table, columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))
