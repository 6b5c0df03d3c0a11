"""The events of the audit log: every kind that the portal writes, and the event itself.

`docs/audit.md` has a heading for each kind, or the build fails.
"""

import json
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from portal.core import clock
from portal.core.ids import new_id
from portal.core.principal import NOWHERE, Origin

Detail = str | int | bool | None
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


class EventKind(StrEnum):
    """Every kind of event. The value is written to the audit log: from 0.2.0 on it never changes."""

    SIGN_IN = "auth.sign_in"
    SIGN_IN_FAILED = "auth.sign_in_failed"
    REFRESHED = "auth.refreshed"
    REFRESH_REUSED = "auth.refresh_reused"
    SIGN_IN_THROTTLED = "auth.sign_in_throttled"
    SIGN_OUT = "auth.sign_out"
    CONFIRMED = "auth.confirmed"
    RECOVERY_CODE_USED = "auth.recovery_code_used"
    REFUSED = "access.refused"
    USER_CREATED = "user.created"
    USER_UPDATED = "user.updated"
    USER_INVITED = "user.invited"
    INVITATION_REVOKED = "user.invitation_revoked"
    PASSWORD_RESET = "user.password_reset"  # noqa: S105  # the name of an event
    PASSWORD_CHANGED = "user.password_changed"  # noqa: S105
    SESSIONS_ENDED = "user.sessions_revoked"
    EVERYTHING_ENDED = "user.everything_revoked"
    TOTP_CONFIRMED = "user.totp_confirmed"
    TOTP_REMOVED = "user.totp_removed"
    TOKEN_CREATED = "token.created"  # noqa: S105  # a word, no secret
    TOKEN_REVOKED = "token.revoked"  # noqa: S105
    LINK_CREATED = "link.created"
    LINK_REVOKED = "link.revoked"
    LINK_REDEEMED = "link.redeemed"
    LINK_REFUSED = "link.refused"
    LINK_THROTTLED = "link.throttled"
    FILE_UPLOADED = "file.uploaded"
    FILE_UPLOAD_FAILED = "file.upload_failed"
    FILE_REJECTED = "file.rejected"
    FILE_DOWNLOAD_STARTED = "file.download_started"
    FILE_DOWNLOAD_ENDED = "file.download_ended"
    FILE_UPDATED = "file.updated"
    FILE_MOVED = "file.moved"
    FILE_REENCRYPTED = "file.reencrypted"
    FILE_NOT_REENCRYPTED = "file.not_reencrypted"
    FILE_TRANSFERRED = "file.transferred"
    FILE_GRANTED = "file.granted"
    FILE_GRANT_REVOKED = "file.grant_revoked"
    FILE_GLASS_BROKEN = "file.glass_broken"
    FILE_DELETED = "file.deleted"
    FILE_GRACE_ENDED = "file.grace_ended"
    FILE_EXPORTED = "file.exported"
    FILE_DAMAGED = "file.damaged"
    CASE_CREATED = "case.created"
    CASE_UPDATED = "case.updated"
    CASE_DELETED = "case.deleted"
    CASE_SHRED_BEGUN = "case.shred_begun"
    CASE_SHREDDED = "case.shredded"
    MEMBER_ADDED = "case.member_added"
    MEMBER_CHANGED = "case.member_changed"
    MEMBER_REMOVED = "case.member_removed"
    DATA_KEY_REWRAPPED = "key.rewrapped"
    DATA_KEY_UNOPENED = "key.unopened"
    DATA_KEYS_ROTATED = "key.rotated"
    MASTER_KEY_RETIRED = "key.retired"
    MASTER_KEY_SPLIT = "key.split"
    MASTER_KEY_DRILLED = "key.drilled"
    KEY_JOB_REQUESTED = "key.job_requested"
    APPROVAL_REQUESTED = "approval.requested"
    APPROVAL_GIVEN = "approval.given"
    APPROVAL_REFUSED = "approval.refused"
    SECRETS_RESEALED = "secrets.resealed"
    SIGNING_KEY_CREATED = "signing_key.created"
    BACKUP_CREATED = "backup.created"
    BACKUP_VERIFIED = "backup.verified"
    BACKUP_RESTORED = "backup.restored"
    BACKUP_DRILLED = "backup.drilled"
    BACKUPS_PRUNED = "backup.pruned"
    BACKUPS_REWRAPPED = "backup.rewrapped"
    JOB_CANCELLED = "job.cancelled"
    JOB_RETRIED = "job.retried"


@dataclass(frozen=True, slots=True)
class Event:
    """One event. `details` has ids, codes and names; never content, keys, tokens or passwords."""

    kind: EventKind
    actor: str
    subject: str | None = None
    origin: Origin = NOWHERE
    details: dict[str, Detail] = field(default_factory=dict)
    id: UUID = field(default_factory=new_id)
    at: datetime = field(default_factory=clock.now)

    def canonical(self) -> str:
        """One line of ASCII JSON, keys sorted, no spaces: the same event always returns the same bytes."""
        body = {
            "actor": self.actor,
            "address": self.origin.address,
            "at": clock.rfc3339(self.at),
            "details": self.details,
            "event": self.kind.value,
            "id": str(self.id),
            "request_id": self.origin.request_id,
            "subject": self.subject,
        }
        return _CANONICAL.encode(body)

    @classmethod
    def from_canonical(cls, text: str) -> "Event":
        """The inverse of `canonical`. Raises ValueError, KeyError or TypeError for any other text."""
        try:
            body = json.loads(text)
            return cls(
                kind=EventKind(body["event"]),
                actor=body["actor"],
                subject=body["subject"],
                origin=Origin(body["request_id"], body["address"]),
                details=body["details"],
                id=UUID(body["id"]),
                at=datetime.fromisoformat(body["at"]),
            )
        except (AttributeError, RecursionError) as error:
            raise ValueError("not an event") from error
