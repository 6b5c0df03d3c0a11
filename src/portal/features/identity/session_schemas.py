"""The JSON bodies and queries of the session routes. None contains a token or a digest of one."""

from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from portal.features.identity.session_rows import Session
from portal.web.fields import Moment
from portal.web.pages import ItemPage, PageQuery, page_example

_EXAMPLE: JsonDict = {
    "id": "0190f3a2-7c11-7d53-8e0c-5a1d2f3b4c5d",
    "created_at": "2026-11-21T12:00:00.000000Z",
    "last_used_at": "2026-11-21T13:41:00.000000Z",
    "expires_at": "2026-11-22T00:00:00.000000Z",
    "address": "192.0.2.7",
    "user_agent": "Mozilla/5.0",
    "current": True,
}
_COUNTS: JsonDict = {"sessions": 3, "api_tokens": 2, "links": 1, "grants": 0, "invitations": 0}


class SessionOut(BaseModel):
    """A live session."""

    model_config = ConfigDict(json_schema_extra={"example": _EXAMPLE})

    id: UUID
    created_at: Moment = Field(description="When the account signed in.")
    last_used_at: Moment = Field(description="When it was last used, to the minute.")
    expires_at: Moment = Field(description="When it ends at the latest.")
    address: str | None = Field(description="The network address of the sign-in.")
    user_agent: str | None = Field(description="The User-Agent of the sign-in.")
    current: bool = Field(description="Whether this request uses it.")

    @classmethod
    def of(cls, session: Session, *, current: bool) -> "SessionOut":
        return cls(
            id=session.id,
            created_at=session.created_at,
            last_used_at=session.used_at or session.created_at,
            expires_at=session.expires_at,
            address=session.address,
            user_agent=session.agent,
            current=current,
        )


class SessionPage(ItemPage[SessionOut]):
    """One page of sessions, newest first."""

    model_config = page_example(_EXAMPLE)


class SessionQuery(PageQuery):
    """The account and the page of a listing of sessions."""

    owner_id: UUID | None = Field(None, description="Another account; for administrators and auditors only.")


class RevokedOut(BaseModel):
    """The number of revoked credentials and rights, by kind."""

    model_config = ConfigDict(json_schema_extra={"example": _COUNTS})

    sessions: int
    api_tokens: int
    links: int = Field(description="Links that the account created.")
    grants: int = Field(description="Grants that the account created.")
    invitations: int = Field(description="Invitations and one-time secrets that the account created.")
