"""The values that link services exchange with each other and with the routes: frozen; neither rows nor API schemas."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from portal.core import clock
from portal.core.errors import Conflict, Unprocessable
from portal.core.ids import text_of
from portal.core.principal import CredentialKind, Permission, Principal, Role
from portal.features.audit.events import Detail
from portal.features.authz.actions import Action
from portal.features.files.models import FileKind
from portal.features.files.views import Details, IncomingFile

_ASK_AGAIN = 2  # seconds


class LinkUsedUp(Conflict):
    code, title = "link_used_up", "The link was made for no more than it has been used for."

    def __init__(self, detail: str | None = None, *, running: bool = False) -> None:
        """`running`: a transfer by the link is running and may still give its use back, so a retry may succeed."""
        super().__init__(detail or (f"{self.title} A transfer by it is still running." if running else None))
        self.retry_after = _ASK_AGAIN if running else None


class KindRefused(Unprocessable):
    code, title = "kind_refused", "The link takes files of other kinds."


class LinkKind(StrEnum):
    """The purpose of a link."""

    FILES = "files"  # download the chosen files
    CASE = "case"  # download any file of the case
    UPLOAD = "upload"  # upload only


class LinkStatus(StrEnum):
    """The status of a link, from its row alone. Those after `USED_UP` are the reasons why it ended permanently."""

    LIVE = "live"
    USED_UP = "used_up"
    REVOKED = "revoked"  # by its creator, a lead or an administrator
    CREATOR_DISABLED = "creator_disabled"
    CREATOR_LOST_RIGHT = "creator_lost_right"  # no longer a member of the case, or a role that may not create the link
    CREATOR_REVOKED_ALL = "creator_revoked_all"  # all credentials of the creator's account were revoked


ACTIONS = {LinkKind.FILES: Action.LINK_FILES, LinkKind.CASE: Action.LINK_CASE, LinkKind.UPLOAD: Action.LINK_UPLOAD}
"""The action that the creator must be allowed on the target: when the link is created, and whenever it is used."""


NEEDED = {
    LinkKind.FILES: Permission.DOWNLOAD_RAW,
    LinkKind.CASE: Permission.DOWNLOAD_RAW,
    LinkKind.UPLOAD: Permission.FILES_UPLOAD,
}
"""The permission that the creator's own session needs: a link never grants more than that session has."""


@dataclass(frozen=True, slots=True)
class NewLink:
    """The fields of a new link. Its files lie in one case or inbox. `case_id` None is the creator's inbox.

    `most` is the number of uses of each file; `most_bytes` bounds an upload link. Empty `kinds` accepts all kinds.
    """

    kind: LinkKind
    lifetime: timedelta
    most: int
    case_id: UUID | None = None
    file_ids: frozenset[UUID] = frozenset()
    most_bytes: int | None = None
    kinds: frozenset[FileKind] = frozenset()
    message: str = ""
    password: str | None = field(default=None, repr=False)

    @property
    def most_in_all(self) -> int | None:
        """The number of uses of all files together. None for a link to a case, whose files are not known beforehand."""
        return None if self.kind is LinkKind.CASE else self.most * max(len(self.file_ids), 1)


@dataclass(frozen=True, slots=True)
class Link:
    """A link's metadata, without its secret and password hash. The fields are those of `LinkRow`."""

    id: UUID
    kind: LinkKind
    made_by: UUID
    case_id: UUID | None
    message: str
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
    ended_by: LinkStatus | None
    most: int
    most_in_all: int | None
    used: int
    most_bytes: int | None
    used_bytes: int
    failed_uploads: int
    kinds: frozenset[FileKind]
    has_password: bool

    @property
    def bytes_left(self) -> int | None:
        """The bytes that may still be uploaded. None where the link has no limit of bytes."""
        return None if self.most_bytes is None else self.most_bytes - self.used_bytes

    @property
    def status(self) -> LinkStatus:
        return self.ended_by or (LinkStatus.USED_UP if self.used_up else LinkStatus.LIVE)

    @property
    def used_up(self) -> bool:
        return self.bytes_left == 0 or (self.most_in_all is not None and self.used >= self.most_in_all)

    def remaining_bytes(self, most: int) -> int:
        """The bytes that one upload may have: `most`, or fewer where the link has fewer left."""
        return most if self.bytes_left is None else min(most, self.bytes_left)

    def require_kind(self, kind: FileKind) -> None:
        """Raises KindRefused for a file of a kind that the link does not accept."""
        if self.kinds and kind not in self.kinds:
            raise KindRefused(f"The link takes files of kind: {', '.join(sorted(self.kinds))}.")

    def principal(self, role: Role) -> Principal:
        """The principal of the link's sessions. It acts with the creator's id and current `role`.

        Its only permission is that of its link: download or upload.
        """
        uploads = self.kind is LinkKind.UPLOAD
        return Principal(
            actor=f"link:{self.id}",
            role=role,
            user_id=self.made_by,
            credential_id=self.id,
            kind=CredentialKind.LINK,
            permissions=frozenset({Permission.LINK_UPLOAD if uploads else Permission.LINK_DOWNLOAD}),
            case_id=self.case_id,
        )


@dataclass(frozen=True, slots=True)
class CreatedLink:
    """A new link with its secret. The secret is not stored: it is shown this once."""

    link: Link
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Redeemed:
    """The result of redeeming a link: the token of a link session, and its expiry."""

    link: Link
    expires_at: datetime
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class LinkSession:
    """A link session, as of one request. A `late` one has expired: it may only continue downloads already counted."""

    link: Link
    session_id: UUID
    principal: Principal
    late: bool = False


class FileForLink:
    """An incoming file with the link's case as its target. It refuses a kind that the link does not accept."""

    def __init__(self, arrival: IncomingFile, link: Link) -> None:
        self._arrival, self._link = arrival, link
        self.case_id = link.case_id
        self.name = arrival.name
        self.declared_type = arrival.declared_type
        self.content_length = arrival.content_length
        self.chunks = arrival.chunks

    async def details(self) -> Details:
        """The details of the incoming file. Raises KindRefused, and the errors of the file's own `details`."""
        details = await self._arrival.details()
        self._link.require_kind(details.kind)
        return details


def details_of(link: Link) -> dict[str, Detail]:
    """The details of a link's audit events."""
    return {
        "kind": link.kind.value,
        "case_id": text_of(link.case_id),
        "created_by": str(link.made_by),
        "expires_at": clock.rfc3339(link.expires_at),
        "max_uses": link.most,
        "uses": link.used,
        "max_bytes": link.most_bytes,
        "bytes": link.used_bytes,
        "kinds": " ".join(sorted(link.kinds)),
        "has_password": link.has_password,
    }
