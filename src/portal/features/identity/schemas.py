"""What identity's routes say and take, as JSON."""

from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from portal.core.principal import Role
from portal.web.fields import Moment


class TokenOut(BaseModel):
    """RFC 6749 §5.1."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "access_token": "eyJhbGciOi…",
                "token_type": "bearer",
                "expires_in": 900,
                "refresh_token": "0190f3a27c117d538e0c5a1d2f3b4c5d.…",
                "scope": "analyst",
            }
        }
    )

    access_token: str
    token_type: str = "bearer"  # noqa: S105  # a word of the protocol
    expires_in: int = Field(description="Seconds until the access token ends.")
    refresh_token: str = Field(description="Good for one refresh; a second use ends the session.")
    scope: str = Field(description="The account's role.")


class UserOut(BaseModel):
    """An account, as its owner sees it."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": "0190f3a2-7c11-7d53-8e0c-5a1d2f3b4c5d",
                "name": "alice",
                "role": "analyst",
                "created_at": "2026-11-21T12:00:00.000000Z",
            }
        }
    )

    id: UUID
    name: str
    role: Role
    created_at: Moment
