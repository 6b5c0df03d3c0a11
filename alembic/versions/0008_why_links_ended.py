"""why links ended"""

import sqlalchemy as sa
from sqlmodel.sql import sqltypes as types

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("links", sa.Column("ended_by", types.AutoString(length=20), nullable=True))


def downgrade() -> None:
    op.drop_column("links", "ended_by")
