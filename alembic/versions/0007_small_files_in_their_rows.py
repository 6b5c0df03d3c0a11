"""small files lie in their rows"""

import sqlalchemy as sa

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("blobs", sa.Column("content", sa.LargeBinary(), nullable=True))


def downgrade() -> None:
    if op.get_bind().execute(sa.text("SELECT 1 FROM blobs WHERE content IS NOT NULL")).first() is not None:
        raise RuntimeError("files lie in their rows: without the column their bytes would be gone")
    op.drop_column("blobs", "content")
