"""what a session was proven by and used for, and the refresh token before its last"""

import sqlalchemy as sa
from sqlmodel.sql import sqltypes as types

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_NEW = ("previous_digest", "rotated_at", "proved_at", "used_at", "address", "agent", "permissions")


def upgrade() -> None:
    op.add_column("sessions", sa.Column("previous_digest", sa.LargeBinary(), nullable=True))
    for name in ("rotated_at", "proved_at", "used_at"):
        op.add_column("sessions", sa.Column(name, types.UTCDateTime(), nullable=True))
    op.add_column("sessions", sa.Column("address", types.AutoString(length=64), nullable=True))
    op.add_column("sessions", sa.Column("agent", types.AutoString(length=200), nullable=True))
    op.add_column("sessions", sa.Column("permissions", sa.Text(), nullable=True))
    op.execute("UPDATE sessions SET used_at = created_at, proved_at = created_at")


def downgrade() -> None:
    op.execute("UPDATE sessions SET revoked_at = created_at WHERE permissions IS NOT NULL")  # they would be worth more
    for name in reversed(_NEW):
        op.drop_column("sessions", name)
