"""grants have ids, and are found by giver"""

import sqlalchemy as sa

from alembic import op
from portal.core.ids import new_id

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("ix_file_grants_user_id", table_name="file_grants")
    op.add_column("file_grants", sa.Column("id", sa.Uuid(), nullable=True))
    _name_each()
    with op.batch_alter_table("file_grants") as batch:
        batch.alter_column("id", existing_type=sa.Uuid(), nullable=False)
        batch.create_unique_constraint("uq_file_grants_id", ["id"])
    op.create_index("ix_file_grants_user_created", "file_grants", ["user_id", "created_at", "id"])
    op.create_index("ix_file_grants_granted_by_created", "file_grants", ["granted_by", "created_at", "id"])


def downgrade() -> None:
    op.drop_index("ix_file_grants_granted_by_created", table_name="file_grants")
    op.drop_index("ix_file_grants_user_created", table_name="file_grants")
    with op.batch_alter_table("file_grants") as batch:
        batch.drop_constraint("uq_file_grants_id", type_="unique")
        batch.drop_column("id")
    op.create_index("ix_file_grants_user_id", "file_grants", ["user_id"], unique=False)


def _name_each() -> None:
    keys = (sa.column("file_id", sa.Uuid()), sa.column("user_id", sa.Uuid()))
    grants = sa.table("file_grants", *keys, sa.column("id", sa.Uuid()))
    for row in op.get_bind().execute(sa.select(*keys).select_from(grants)).all():
        one = sa.update(grants).where(keys[0] == row.file_id, keys[1] == row.user_id)
        op.get_bind().execute(one.values(id=new_id()))
