"""when files became available"""

import sqlalchemy as sa
from sqlmodel.sql import sqltypes as types

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("files", sa.Column("available_at", types.UTCDateTime(), nullable=True))
    # When the older ones became available was not kept. They began before anything that comes from now on.
    op.execute("UPDATE files SET available_at = created_at WHERE status NOT IN ('pending', 'failed', 'rejected')")
    op.create_index("ix_files_available", "files", ["available_at", "id"])


def downgrade() -> None:
    op.drop_index("ix_files_available", table_name="files")
    op.drop_column("files", "available_at")
