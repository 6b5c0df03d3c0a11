"""outbox and numbers of audit"""

import sqlalchemy as sa
from sqlmodel.sql.sqltypes import UTCDateTime

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "audit_outbox",
        sa.Column("sink", sa.String(64), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("claimed_until", UTCDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("sink", "seq", name="pk_audit_outbox"),
    )
    op.create_table(
        "audit_numbers",
        sa.Column("number", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("settled", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_audit_numbers"),
        sa.UniqueConstraint("seq", name="uq_audit_numbers_seq"),
    )


def downgrade() -> None:
    op.drop_table("audit_numbers")
    op.drop_table("audit_outbox")
