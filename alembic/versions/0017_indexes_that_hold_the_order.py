"""indexes that hold the order

Comes in: an index on what nearly every row shares, as `status`, for which databases left the one with the order.
Leaves: for each way in which rows are listed an index with the order in it, of listed rows only; small ones for rows
that sweeps look for. Postgres makes its statistics anew. SQLite has none: its plans are those that the tests have seen.
"""

import sqlalchemy as sa

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_LISTED = "status IN ('ready', 'quarantined')"
_EVERYWHERE = f"{_LISTED} AND kind <> ''"
_INBOX = f"{_LISTED} AND case_id IS NULL"
_IN_CASE = f"{_LISTED} AND case_id IS NOT NULL"
_REVOKED = "revoked_at IS NOT NULL"
_UNFINISHED = "status IN ('queued', 'running')"

_Index = tuple[str, str, list[str], str | None]  # its name, its table, its columns, the rows that are in it
OLD: list[_Index] = [
    ("ix_files_created", "files", ["created_at", "id"], None),
    ("ix_files_owner_created", "files", ["owner_id", "created_at", "id"], None),
    ("ix_files_case_created", "files", ["case_id", "created_at", "id"], None),
    ("ix_files_available", "files", ["available_at", "id"], None),
    ("ix_files_sha256", "files", ["sha256"], None),
    ("ix_files_status", "files", ["status"], None),
    ("ux_files_idempotency", "files", ["owner_id", "idempotency_key"], None),
    ("ix_sessions_user_id", "sessions", ["user_id"], None),
    ("ix_api_tokens_user_id", "api_tokens", ["user_id"], None),
    ("ix_case_members_user_id", "case_members", ["user_id"], None),
    ("ix_jobs_due", "jobs", ["status", "run_after"], None),
    ("uq_jobs_unfinished", "jobs", ["kind", "unique_key"], _UNFINISHED),
    ("ix_audit_event", "audit", ["event"], None),
]
NEW: list[_Index] = [
    ("ix_files_created", "files", ["created_at", "id"], _EVERYWHERE),
    ("ix_files_kind", "files", ["kind", "created_at", "id"], _EVERYWHERE),
    ("ix_files_available", "files", ["available_at", "id"], _EVERYWHERE),
    ("ix_files_sha256", "files", ["sha256", "created_at", "id"], _EVERYWHERE),
    ("ix_files_inbox_created", "files", ["owner_id", "created_at", "id"], _INBOX),
    ("ix_files_inbox_kind", "files", ["owner_id", "kind", "created_at", "id"], _INBOX),
    ("ix_files_inbox_available", "files", ["owner_id", "available_at", "id"], _INBOX),
    ("ix_files_case_created", "files", ["case_id", "created_at", "id"], "case_id IS NOT NULL"),
    ("ix_files_case_owner", "files", ["case_id", "owner_id", "created_at", "id"], _IN_CASE),
    ("ix_files_case_kind", "files", ["case_id", "kind", "created_at", "id"], _IN_CASE),
    ("ix_files_case_available", "files", ["case_id", "available_at", "id"], _IN_CASE),
    ("ix_files_unsettled", "files", ["id"], "status IN ('pending', 'deleting', 'failed', 'rejected')"),
    ("ix_files_gone", "files", ["available_at"], "status IN ('deleting', 'deleted')"),
    ("ux_files_idempotency", "files", ["owner_id", "idempotency_key"], "idempotency_key IS NOT NULL"),
    ("ix_users_role", "users", ["role", "created_at", "id"], None),
    ("ix_users_disabled", "users", ["created_at", "id"], "disabled_at IS NOT NULL"),
    ("ix_sessions_user_created", "sessions", ["user_id", "created_at", "id"], None),
    ("ix_sessions_expires", "sessions", ["expires_at"], None),
    ("ix_sessions_revoked", "sessions", ["revoked_at"], _REVOKED),
    ("ix_invitations_created_by", "invitations", ["created_by"], None),
    ("ix_invitations_expires_at", "invitations", ["expires_at"], None),
    ("ix_api_tokens_user_created", "api_tokens", ["user_id", "created_at", "id"], None),
    ("ix_api_tokens_expires", "api_tokens", ["expires_at"], None),
    ("ix_api_tokens_revoked", "api_tokens", ["revoked_at"], _REVOKED),
    ("ix_links_expires", "links", ["expires_at"], None),
    ("ix_links_revoked", "links", ["revoked_at"], _REVOKED),
    ("ix_link_files_file_id", "link_files", ["file_id"], None),
    ("ix_cases_status", "cases", ["status", "created_at", "id"], None),
    ("ix_case_members_user", "case_members", ["user_id", "role", "case_id"], None),
    ("ix_jobs_kind", "jobs", ["kind", "created_at", "id"], None),
    ("ix_jobs_status", "jobs", ["status", "created_at", "id"], None),
    ("ix_jobs_finished", "jobs", ["finished_at"], "status NOT IN ('queued', 'running')"),
    ("ix_jobs_unfinished", "jobs", ["kind", "run_after", "id"], _UNFINISHED),
    ("uq_jobs_unfinished", "jobs", ["unique_key", "kind"], _UNFINISHED),
    ("ix_audit_event", "audit", ["event", "at", "id"], None),
    ("ix_audit_outbox_claimed", "audit_outbox", ["sink", "claimed_until"], "claimed_until IS NOT NULL"),
]


def upgrade() -> None:
    _replace(OLD, NEW)
    if op.get_bind().dialect.name == "postgresql":  # a database that was upgraded is fast before autovacuum comes by
        for table in sorted({table for _, table, _, _ in NEW}):
            op.execute(f"ANALYZE {table}")


def downgrade() -> None:
    _replace(NEW, OLD)


def _replace(old: list[_Index], new: list[_Index]) -> None:
    for name, table, _, _ in old:
        op.drop_index(name, table)
    for name, table, columns, where in new:
        condition = None if where is None else sa.text(where)
        unique = name.startswith(("ux_", "uq_"))
        op.create_index(name, table, columns, unique=unique, sqlite_where=condition, postgresql_where=condition)
