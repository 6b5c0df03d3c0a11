"""grants of single files"""

import sqlalchemy as sa
from sqlmodel.sql import sqltypes as types

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "file_grants",
        sa.Column("file_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("granted_by", sa.Uuid(), nullable=False),
        sa.Column("created_at", types.UTCDateTime(), nullable=False),
        sa.Column("expires_at", types.UTCDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["file_id"], ["files.id"], name="fk_file_grants_file_id"),
        sa.ForeignKeyConstraint(["granted_by"], ["users.id"], name="fk_file_grants_granted_by"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_file_grants_user_id"),
        sa.PrimaryKeyConstraint("file_id", "user_id", name="pk_file_grants"),
    )
    op.create_index("ix_file_grants_user_id", "file_grants", ["user_id"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_file_grants_user_id", table_name="file_grants")
    op.drop_table("file_grants")
