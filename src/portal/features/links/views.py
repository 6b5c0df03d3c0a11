"""What the services of this feature hand to each other and to the doors: frozen, no rows, no schemas."""

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
from portal.features.files.models import Kind
from portal.features.files.views import Details, IncomingFile

_ASK_AGAIN = 2  # seconds


class LinkUsedUp(Conflict):
    code, title = "link_used_up", "The link was made for no more than it has been used for."

    def __init__(self, detail: str | None = None, *, running: bool = False) -> None:
        """`running`: something by it is under way that may yet give its use back."""
        super().__init__(detail or (f"{self.title} A transfer by it is still running." if running else None))
        self.retry_after = _ASK_AGAIN if running else None


class KindRefused(Unprocessable):
    code, title = "kind_refused", "The link takes files of other kinds."


class LinkKind(StrEnum):
    """What a link is for."""

    FILES = "files"  # to download the files that were chosen
    CASE = "case"  # to download whatever lies in the case
    UPLOAD = "upload"  # to hand in, and nothing else


class LinkStatus(StrEnum):
    """Whether a link is good, as far as its own row says; the rest are the reasons why it ended, for good."""

    LIVE = "live"
    USED_UP = "used_up"
    REVOKED = "revoked"  # by its maker, a lead or an administrator
    CREATOR_DISABLED = "creator_disabled"
    CREATOR_LOST_RIGHT = "creator_lost_right"  # no member of the case any more, or of a role that makes no such link
    CREATOR_REVOKED_ALL = "creator_revoked_all"  # everything of the maker's account was ended


ACTIONS = {LinkKind.FILES: Action.LINK_FILES, LinkKind.CASE: Action.LINK_CASE, LinkKind.UPLOAD: Action.LINK_UPLOAD}
"""What a link's maker must be allowed to do where it leads: when it is made, and for as long as it is used."""


NEEDED = {
    LinkKind.FILES: Permission.DOWNLOAD_RAW,
    LinkKind.CASE: Permission.DOWNLOAD_RAW,
    LinkKind.UPLOAD: Permission.FILES_UPLOAD,
}
"""What the maker's own session must be good for: a link gives nobody more."""


@dataclass(frozen=True, slots=True)
class NewLink:
    """A link to be made. Files are of one place; no case is the maker's inbox; no kinds are all kinds."""

    kind: LinkKind
    lifetime: timedelta
    most: int
    case_id: UUID | None = None
    file_ids: frozenset[UUID] = frozenset()
    most_bytes: int | None = None
    kinds: frozenset[Kind] = frozenset()
    message: str = ""
    password: str | None = field(default=None, repr=False)

    @property
    def most_in_all(self) -> int | None:
        """Uses of all files together; None where nobody knows the files beforehand."""
        return None if self.kind is LinkKind.CASE else self.most * max(len(self.file_ids), 1)


@dataclass(frozen=True, slots=True)
class Link:
    """A link as those may see it who could revoke it: everything but its secret and its password's hash."""

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
    kinds: frozenset[Kind]
    has_password: bool

    @property
    def bytes_left(self) -> int | None:
        """None where they are not counted."""
        return None if self.most_bytes is None else self.most_bytes - self.used_bytes

    @property
    def status(self) -> LinkStatus:
        return self.ended_by or (LinkStatus.USED_UP if self.used_up else LinkStatus.LIVE)

    @property
    def used_up(self) -> bool:
        return self.bytes_left == 0 or (self.most_in_all is not None and self.used >= self.most_in_all)

    def remaining_bytes(self, most: int) -> int:
        """How many bytes may come, of `most`."""
        return most if self.bytes_left is None else min(most, self.bytes_left)

    def require_kind(self, kind: Kind) -> None:
        """Raises KindRefused."""
        if self.kinds and kind not in self.kinds:
            raise KindRefused(f"The link takes files of kind: {', '.join(sorted(self.kinds))}.")

    def principal(self, role: Role) -> Principal:
        """Whoever holds the link, worth what its maker is: `role` is theirs as of now."""
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
    """A new link, and the only time that its secret is there."""

    link: Link
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Redeemed:
    """A token for a link's secret."""

    link: Link
    expires_at: datetime
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class LinkSession:
    """A request by somebody who holds a link's token; a `late` one has ended, and goes on with a download at most."""

    link: Link
    session_id: UUID
    principal: Principal
    late: bool = False


class FileForLink:
    """An arrival that goes where the link leads, if it is of a kind that the link takes."""

    def __init__(self, arrival: IncomingFile, link: Link) -> None:
        self._arrival, self._link = arrival, link
        self.case_id = link.case_id
        self.name = arrival.name
        self.declared_type = arrival.declared_type
        self.content_length = arrival.content_length
        self.chunks = arrival.chunks

    async def details(self) -> Details:
        """Raises KindRefused, and what the arrival raises."""
        details = await self._arrival.details()
        self._link.require_kind(details.kind)
        return details


def details_of(link: Link) -> dict[str, Detail]:
    """For the record."""
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
