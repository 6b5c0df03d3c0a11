"""shredding"""

import sqlalchemy as sa
from sqlmodel.sql.sqltypes import AutoString, UTCDateTime

from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "shreddings",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("case_number", AutoString(length=16), nullable=False),
        sa.Column("requested_by", AutoString(length=200), nullable=False),
        sa.Column("requested_at", UTCDateTime(), nullable=False),
        sa.Column("approved_by", AutoString(length=200), nullable=True),
        sa.Column("approved_at", UTCDateTime(), nullable=True),
        sa.Column("begun_at", UTCDateTime(), nullable=False),
        sa.Column("uploads_ended", sa.Integer(), nullable=False),
        sa.Column("data_keys", sa.Text(), nullable=False),
        sa.Column("receipt_id", sa.Uuid(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_shreddings"),
        sa.UniqueConstraint("case_id", name="uq_shreddings_case_id"),
    )
    op.create_table(
        "shredded_files",
        sa.Column("shredding_id", sa.Uuid(), nullable=False),
        sa.Column("file_id", sa.Uuid(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=True),
        sa.Column("sha256", AutoString(length=64), nullable=True),
        sa.Column("blobs", sa.Text(), nullable=False),
        sa.Column("removed_at", UTCDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["shredding_id"], ["shreddings.id"], name="fk_shredded_files_shredding_id_shreddings"),
        sa.PrimaryKeyConstraint("shredding_id", "file_id", name="pk_shredded_files"),
    )
    op.create_index(
        "ix_shredded_files_left",
        "shredded_files",
        ["shredding_id", "file_id"],
        sqlite_where=sa.text("removed_at IS NULL"),
        postgresql_where=sa.text("removed_at IS NULL"),
    )
    op.create_table(
        "receipts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("type", AutoString(length=64), nullable=False),
        sa.Column("subject", AutoString(length=200), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_receipts"),
    )


def downgrade() -> None:
    op.drop_table("receipts")
    op.drop_table("shredded_files")
    op.drop_table("shreddings")
