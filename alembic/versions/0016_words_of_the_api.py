"""words of the API

Comes in: rows with words that the API no longer has: why a link ended, what a token or a session may do.
Leaves: the same rows with the words of today.
"""

import sqlalchemy as sa

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

ENDED_BY = {
    "maker_disabled": "creator_disabled",
    "maker_lost_right": "creator_lost_right",
    "credentials_ended": "creator_revoked_all",
}
PERMISSIONS = {
    "download:raw": "files:download",
    "download:wrapped": "files:download_wrapped",
    "files:change": "files:manage",
    "cases:change": "cases:manage",
    "administer": "admin",
}


def upgrade() -> None:
    _rename("links", "ended_by", ENDED_BY)
    for table in ("api_tokens", "sessions"):
        _rename_words(table, "permissions", PERMISSIONS)


def downgrade() -> None:
    _rename("links", "ended_by", {new: old for old, new in ENDED_BY.items()})
    for table in ("api_tokens", "sessions"):
        _rename_words(table, "permissions", {new: old for old, new in PERMISSIONS.items()})


def _rename(table: str, column: str, words: dict[str, str]) -> None:
    rows = sa.table(table, sa.column(column, sa.String()))
    for old, new in words.items():
        op.execute(sa.update(rows).where(rows.c[column] == old).values({column: new}))


def _rename_words(table: str, column: str, words: dict[str, str]) -> None:
    """Of a column that holds several, with spaces between them, in the order of the alphabet."""
    rows = sa.table(table, sa.column("id", sa.Uuid()), sa.column(column, sa.Text()))
    for row in op.get_bind().execute(sa.select(rows.c.id, rows.c[column]).where(rows.c[column].is_not(None))).all():
        kept = sorted(words.get(word, word) for word in str(row[1]).split())
        op.execute(sa.update(rows).where(rows.c.id == row.id).values({column: " ".join(kept)}))
