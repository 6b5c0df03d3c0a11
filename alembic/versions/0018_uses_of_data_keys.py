"""uses of data keys"""

import sqlalchemy as sa

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # How often the older ones were used was not counted: they end by their age.
    op.add_column("data_keys", sa.Column("uses", sa.BigInteger(), nullable=False, server_default="0"))


def downgrade() -> None:
    op.drop_column("data_keys", "uses")
