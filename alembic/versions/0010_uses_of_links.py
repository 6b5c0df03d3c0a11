"""uses of links: reserved when a transfer begins, given back where nothing came of it"""

import sqlalchemy as sa
from sqlmodel.sql import sqltypes as types

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("links", sa.Column("most_in_all", sa.Integer(), nullable=True))
    op.add_column("links", sa.Column("failed_uploads", sa.Integer(), nullable=False, server_default="0"))
    op.execute("UPDATE links SET most_in_all = most")  # what was promised of links that are there
    op.create_table(
        "link_uses",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("link_id", sa.Uuid(), nullable=False),
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("file_id", sa.Uuid(), nullable=True),
        sa.Column("state", types.AutoString(length=16), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sent", sa.BigInteger(), nullable=False),
        sa.Column("lease_until", types.UTCDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["link_id"], ["links.id"], name="fk_link_uses_link_id"),
        sa.PrimaryKeyConstraint("id", name="pk_link_uses"),
    )
    op.create_index("ix_link_uses_file", "link_uses", ["link_id", "file_id"], unique=False)
    op.create_index("ix_link_uses_state", "link_uses", ["state", "lease_until"], unique=False)
    op.drop_table("link_deliveries")  # they last for minutes


def downgrade() -> None:
    op.create_table(
        "link_deliveries",
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("file_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["file_id"], ["files.id"], name="fk_link_deliveries_file_id"),
        sa.ForeignKeyConstraint(["session_id"], ["link_sessions.id"], name="fk_link_deliveries_session_id"),
        sa.PrimaryKeyConstraint("session_id", "file_id", name="pk_link_deliveries"),
    )
    op.drop_index("ix_link_uses_state", table_name="link_uses")
    op.drop_index("ix_link_uses_file", table_name="link_uses")
    op.drop_table("link_uses")
    op.drop_column("links", "failed_uploads")
    op.drop_column("links", "most_in_all")
