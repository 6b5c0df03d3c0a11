"""approvals"""

import sqlalchemy as sa
from sqlmodel.sql.sqltypes import AutoString, UTCDateTime

from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

_PENDING = sa.text("status = 'pending'")


def upgrade() -> None:
    op.create_table(
        "approvals",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("act", AutoString(length=16), nullable=False),
        sa.Column("subject", AutoString(length=200), nullable=False),
        sa.Column("state", AutoString(length=64), nullable=False),
        sa.Column("requested_by", AutoString(length=200), nullable=False),
        sa.Column("requester_id", sa.Uuid(), nullable=True),
        sa.Column("requested_at", UTCDateTime(), nullable=False),
        sa.Column("expires_at", UTCDateTime(), nullable=False),
        sa.Column("status", AutoString(length=16), nullable=False),
        sa.Column("decided_by", AutoString(length=200), nullable=True),
        sa.Column("decided_at", UTCDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_approvals"),
    )
    op.create_index(
        "ux_approvals_pending",
        "approvals",
        ["act", "subject"],
        unique=True,
        sqlite_where=_PENDING,
        postgresql_where=_PENDING,
    )
    op.create_index("ix_approvals_requested", "approvals", ["requested_at", "id"])
    op.create_index("ix_approvals_subject", "approvals", ["act", "subject", "requested_at"])


def downgrade() -> None:
    op.drop_table("approvals")
