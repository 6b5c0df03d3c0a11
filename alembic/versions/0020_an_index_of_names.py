"""an index of names

Its rows are made by a job, in batches: on a large database that takes longer than a portal should be away.
"""

import sqlalchemy as sa
from sqlmodel.sql.sqltypes import UTCDateTime

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "indexed_files",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("file_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_indexed_files"),
        sa.UniqueConstraint("file_id", name="uq_indexed_files_file_id"),
    )
    op.create_table(
        "name_trigrams",
        sa.Column("block", sa.Integer(), nullable=False),
        sa.Column("trigram", sa.Integer(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("block", "trigram", "number", name="pk_name_trigrams"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "name_index",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("available_at", UTCDateTime(), nullable=False),
        sa.Column("file_id", sa.Uuid(), nullable=False),
        sa.Column("files", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_name_index"),
    )


def downgrade() -> None:
    op.drop_table("name_index")
    op.drop_table("name_trigrams")
    op.drop_table("indexed_files")
