"""users, sessions, data keys, files, blobs, audit"""

import sqlalchemy as sa
from sqlmodel.sql import sqltypes as types

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("at", types.UTCDateTime(), nullable=False),
        sa.Column("event", types.AutoString(length=64), nullable=False),
        sa.Column("actor", types.AutoString(length=200), nullable=False),
        sa.Column("subject", types.AutoString(length=200), nullable=True),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_audit"),
        sa.UniqueConstraint("id", name="uq_audit_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_audit_actor", "audit", ["actor"], unique=False)
    op.create_index("ix_audit_at", "audit", ["at"], unique=False)
    op.create_index("ix_audit_event", "audit", ["event"], unique=False)
    op.create_index("ix_audit_subject", "audit", ["subject"], unique=False)
    op.create_table(
        "data_keys",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("scope", types.AutoString(length=64), nullable=False),
        sa.Column("provider_key_id", types.AutoString(length=200), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.Column("check_value", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", types.UTCDateTime(), nullable=False),
        sa.Column("retired_at", types.UTCDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_data_keys"),
    )
    op.create_index(
        "ux_data_keys_active_scope",
        "data_keys",
        ["scope"],
        unique=True,
        sqlite_where=sa.text("retired_at IS NULL"),
        postgresql_where=sa.text("retired_at IS NULL"),
    )
    op.create_table(
        "users",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", types.AutoString(length=64), nullable=False),
        sa.Column("name_key", types.AutoString(length=256), nullable=False),
        sa.Column("password_hash", types.AutoString(length=256), nullable=False),
        sa.Column("role", types.AutoString(length=16), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("created_at", types.UTCDateTime(), nullable=False),
        sa.Column("disabled_at", types.UTCDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("name_key", name="uq_users_name_key"),
    )
    op.create_table(
        "files",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("scope", types.AutoString(length=64), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("name_folded", sa.Text(), nullable=False),
        sa.Column("kind", types.AutoString(length=16), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("declared_type", types.AutoString(length=200), nullable=True),
        sa.Column("detected_type", types.AutoString(length=200), nullable=True),
        sa.Column("size", sa.BigInteger(), nullable=True),
        sa.Column("sha256", types.AutoString(length=64), nullable=True),
        sa.Column("status", types.AutoString(length=16), nullable=False),
        sa.Column("verdict", types.AutoString(length=16), nullable=True),
        sa.Column("verdict_detail", types.AutoString(length=200), nullable=True),
        sa.Column("data_key_id", sa.Uuid(), nullable=True),
        sa.Column("record", sa.LargeBinary(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", types.UTCDateTime(), nullable=False),
        sa.Column("lease_until", types.UTCDateTime(), nullable=True),
        sa.Column("idempotency_key", types.AutoString(length=200), nullable=True),
        sa.Column("request_digest", types.AutoString(length=64), nullable=True),
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"], name="fk_files_owner_id"),
        sa.PrimaryKeyConstraint("id", name="pk_files"),
    )
    op.create_index("ix_files_created", "files", ["created_at", "id"], unique=False)
    op.create_index("ix_files_owner_created", "files", ["owner_id", "created_at", "id"], unique=False)
    op.create_index("ix_files_sha256", "files", ["sha256"], unique=False)
    op.create_index("ix_files_status", "files", ["status"], unique=False)
    op.create_index("ux_files_idempotency", "files", ["owner_id", "idempotency_key"], unique=True)
    op.create_table(
        "sessions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("refresh_digest", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", types.UTCDateTime(), nullable=False),
        sa.Column("expires_at", types.UTCDateTime(), nullable=False),
        sa.Column("revoked_at", types.UTCDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_sessions_user_id"),
        sa.PrimaryKeyConstraint("id", name="pk_sessions"),
    )
    op.create_index("ix_sessions_user_id", "sessions", ["user_id"], unique=False)
    op.create_table(
        "blobs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("file_id", sa.Uuid(), nullable=False),
        sa.Column("part", sa.Integer(), nullable=False),
        sa.Column("key_generation", sa.Integer(), nullable=False),
        sa.Column("store", types.AutoString(length=64), nullable=False),
        sa.Column("data_key_id", sa.Uuid(), nullable=True),
        sa.Column("wrapped_key", sa.LargeBinary(), nullable=True),
        sa.Column("commitment", sa.LargeBinary(), nullable=True),
        sa.Column("plain_length", sa.BigInteger(), nullable=True),
        sa.Column("stored_length", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["file_id"], ["files.id"], name="fk_blobs_file_id"),
        sa.PrimaryKeyConstraint("id", name="pk_blobs"),
    )
    op.create_index("ix_blobs_file_id", "blobs", ["file_id"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_blobs_file_id", table_name="blobs")
    op.drop_table("blobs")
    op.drop_index("ix_sessions_user_id", table_name="sessions")
    op.drop_table("sessions")
    op.drop_index("ux_files_idempotency", table_name="files")
    op.drop_index("ix_files_status", table_name="files")
    op.drop_index("ix_files_sha256", table_name="files")
    op.drop_index("ix_files_owner_created", table_name="files")
    op.drop_index("ix_files_created", table_name="files")
    op.drop_table("files")
    op.drop_table("users")
    op.drop_index(
        "ux_data_keys_active_scope",
        table_name="data_keys",
        sqlite_where=sa.text("retired_at IS NULL"),
        postgresql_where=sa.text("retired_at IS NULL"),
    )
    op.drop_table("data_keys")
    op.drop_index("ix_audit_subject", table_name="audit")
    op.drop_index("ix_audit_event", table_name="audit")
    op.drop_index("ix_audit_at", table_name="audit")
    op.drop_index("ix_audit_actor", table_name="audit")
    op.drop_table("audit")
