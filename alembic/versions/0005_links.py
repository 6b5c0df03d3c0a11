"""links for people without an account, and who handed a file in"""

import sqlalchemy as sa
from sqlmodel.sql import sqltypes as types

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("files", sa.Column("uploaded_by", types.AutoString(length=100), nullable=True))
    op.create_table(
        "links",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", types.AutoString(length=16), nullable=False),
        sa.Column("made_by", sa.Uuid(), nullable=False),
        sa.Column("case_id", sa.Uuid(), nullable=True),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("password_hash", types.AutoString(length=255), nullable=True),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("created_at", types.UTCDateTime(), nullable=False),
        sa.Column("expires_at", types.UTCDateTime(), nullable=False),
        sa.Column("revoked_at", types.UTCDateTime(), nullable=True),
        sa.Column("most", sa.Integer(), nullable=False),
        sa.Column("used", sa.Integer(), nullable=False),
        sa.Column("most_bytes", sa.BigInteger(), nullable=True),
        sa.Column("used_bytes", sa.BigInteger(), nullable=False),
        sa.Column("kinds", sa.Text(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("failed_at", types.UTCDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["made_by"], ["users.id"], name="fk_links_made_by"),
        sa.PrimaryKeyConstraint("id", name="pk_links"),
        sa.UniqueConstraint("digest", name="uq_links_digest"),
    )
    op.create_index("ix_links_created", "links", ["created_at", "id"], unique=False)
    op.create_index("ix_links_made_by", "links", ["made_by", "created_at", "id"], unique=False)
    op.create_index("ix_links_case", "links", ["case_id", "created_at", "id"], unique=False)
    op.create_table(
        "link_files",
        sa.Column("link_id", sa.Uuid(), nullable=False),
        sa.Column("file_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["file_id"], ["files.id"], name="fk_link_files_file_id"),
        sa.ForeignKeyConstraint(["link_id"], ["links.id"], name="fk_link_files_link_id"),
        sa.PrimaryKeyConstraint("link_id", "file_id", name="pk_link_files"),
    )
    op.create_table(
        "link_sessions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("link_id", sa.Uuid(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", types.UTCDateTime(), nullable=False),
        sa.Column("expires_at", types.UTCDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["link_id"], ["links.id"], name="fk_link_sessions_link_id"),
        sa.PrimaryKeyConstraint("id", name="pk_link_sessions"),
        sa.UniqueConstraint("digest", name="uq_link_sessions_digest"),
    )
    op.create_index("ix_link_sessions_expires_at", "link_sessions", ["expires_at"], unique=False)
    op.create_index("ix_link_sessions_link_id", "link_sessions", ["link_id"], unique=False)
    op.create_table(
        "link_deliveries",
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("file_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["file_id"], ["files.id"], name="fk_link_deliveries_file_id"),
        sa.ForeignKeyConstraint(["session_id"], ["link_sessions.id"], name="fk_link_deliveries_session_id"),
        sa.PrimaryKeyConstraint("session_id", "file_id", name="pk_link_deliveries"),
    )


def downgrade() -> None:
    op.drop_table("link_deliveries")
    op.drop_index("ix_link_sessions_link_id", table_name="link_sessions")
    op.drop_index("ix_link_sessions_expires_at", table_name="link_sessions")
    op.drop_table("link_sessions")
    op.drop_table("link_files")
    op.drop_index("ix_links_case", table_name="links")
    op.drop_index("ix_links_made_by", table_name="links")
    op.drop_index("ix_links_created", table_name="links")
    op.drop_table("links")
    op.drop_column("files", "uploaded_by")
