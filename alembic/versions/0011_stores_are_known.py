"""stores are known

Blobs name their store by its id from now on. Those that are there keep its scheme until `portal db upgrade`, which runs
this, has read the id from the store.
"""

import sqlalchemy as sa
from sqlmodel.sql.sqltypes import UTCDateTime

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "stores",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("scheme", sa.String(64), nullable=False),
        sa.Column("added_at", UTCDateTime(), nullable=False),
    )


def downgrade() -> None:
    if len(op.get_bind().execute(sa.text("SELECT id FROM stores")).all()) > 1:
        raise RuntimeError("blobs lie in several stores: without the table nobody knows which lies where")
    op.execute(
        "UPDATE blobs SET store = (SELECT scheme FROM stores) WHERE store <> 'row' AND EXISTS (SELECT 1 FROM stores)"
    )
    op.drop_table("stores")
