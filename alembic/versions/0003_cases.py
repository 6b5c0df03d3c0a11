"""cases, their members and numbers, broken glass; files in cases"""

import sqlalchemy as sa
from sqlmodel.sql import sqltypes as types

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "case_numbers",
        sa.Column("year", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("last", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("year", name="pk_case_numbers"),
    )
    op.create_table(
        "cases",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("number", types.AutoString(length=16), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("status", types.AutoString(length=16), nullable=False),
        sa.Column("severity", types.AutoString(length=16), nullable=False),
        sa.Column("tlp", types.AutoString(length=16), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_by", sa.Uuid(), nullable=False),
        sa.Column("created_at", types.UTCDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["created_by"], ["users.id"], name="fk_cases_created_by"),
        sa.PrimaryKeyConstraint("id", name="pk_cases"),
        sa.UniqueConstraint("number", name="uq_cases_number"),
    )
    op.create_index("ix_cases_created", "cases", ["created_at", "id"], unique=False)
    op.create_table(
        "case_members",
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("role", types.AutoString(length=16), nullable=False),
        sa.Column("added_by", sa.Uuid(), nullable=False),
        sa.Column("added_at", types.UTCDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["added_by"], ["users.id"], name="fk_case_members_added_by"),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name="fk_case_members_case_id"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_case_members_user_id"),
        sa.PrimaryKeyConstraint("case_id", "user_id", name="pk_case_members"),
    )
    op.create_index("ix_case_members_user_id", "case_members", ["user_id"], unique=False)
    op.create_table(
        "break_glass",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("file_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_at", types.UTCDateTime(), nullable=False),
        sa.Column("expires_at", types.UTCDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name="fk_break_glass_case_id"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_break_glass_user_id"),
        sa.PrimaryKeyConstraint("id", name="pk_break_glass"),
    )
    op.create_index("ix_break_glass_case_id", "break_glass", ["case_id"], unique=False)
    op.create_index("ix_break_glass_file", "break_glass", ["file_id", "user_id"], unique=False)
    if op.get_bind().dialect.name == "sqlite":  # which takes a constraint with the column alone
        op.execute("ALTER TABLE files ADD COLUMN case_id CHAR(32) CONSTRAINT fk_files_case_id REFERENCES cases (id)")
    else:
        op.add_column("files", sa.Column("case_id", sa.Uuid(), nullable=True))
        op.create_foreign_key("fk_files_case_id", "files", "cases", ["case_id"], ["id"])
    op.create_index("ix_files_case_created", "files", ["case_id", "created_at", "id"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_files_case_created", table_name="files")
    op.drop_column("files", "case_id")
    op.drop_index("ix_break_glass_file", table_name="break_glass")
    op.drop_index("ix_break_glass_case_id", table_name="break_glass")
    op.drop_table("break_glass")
    op.drop_index("ix_case_members_user_id", table_name="case_members")
    op.drop_table("case_members")
    op.drop_index("ix_cases_created", table_name="cases")
    op.drop_table("cases")
    op.drop_table("case_numbers")
