"""What the token routes say and take, as JSON. A secret is in one answer, once."""

from ipaddress import IPv4Network, IPv6Network
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.config import JsonDict

from portal.core.principal import Permission
from portal.features.tokens.repository import ApiToken
from portal.web.fields import Moment, Text

MAX_DAYS = 366
_EXAMPLE: JsonDict = {
    "id": "0190f3a2-7c11-7d53-8e0c-5a1d2f3b4c5d",
    "name": "collector on FIN-7",
    "permissions": ["files:upload"],
    "networks": ["192.0.2.0/24"],
    "case_id": "0190f3a1-9d4e-7b0a-8f3e-6c5d4e3f2a1b",
    "owner_id": "0190f3a1-0b5e-7a4e-9c1d-1f2e3d4c5b6a",
    "created_at": "2026-11-21T12:00:00.000000Z",
    "expires_at": "2026-12-21T12:00:00.000000Z",
    "revoked_at": "2026-11-30T09:30:00.000000Z",
    "last_used_at": "2026-11-30T09:29:12.000000Z",
}


def _written(value: object) -> object:
    if not isinstance(value, str):  # the library would take a number, or false, for an address
        raise ValueError("write the network as text")  # noqa: TRY004  # what pydantic takes for a refusal
    return value


Network = Annotated[IPv4Network | IPv6Network, BeforeValidator(_written)]


class ApiTokenIn(BaseModel):
    """A token to be made."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "name": "collector on FIN-7",
                "permissions": ["files:upload"],
                "expires_in_days": 30,
                "networks": ["192.0.2.0/24"],
            }
        },
    )

    name: Text = Field(min_length=1, max_length=100, description="What it is for: shown in lists and on record.")
    permissions: list[Permission] = Field(
        min_length=1, description="What it may be used for, of what its owner may; `files:upload` alone hands in only."
    )
    expires_in_days: Annotated[int, Field(strict=True, ge=1, le=MAX_DAYS)] = 90
    networks: list[Network] = Field([], max_length=16, description="Where it may be used from; anywhere if empty.")
    case_id: UUID | None = Field(None, description="The one case it is for: nothing outside of it can be reached.")


class ApiTokenOut(BaseModel):
    """A token, without its secret."""

    model_config = ConfigDict(json_schema_extra={"example": _EXAMPLE})

    id: UUID
    name: str
    permissions: list[Permission]
    networks: list[str]
    case_id: UUID | None
    owner_id: UUID
    created_at: Moment
    expires_at: Moment
    revoked_at: Moment | None
    last_used_at: Moment | None = Field(description="To the minute.")

    @classmethod
    def of(cls, token: ApiToken) -> "ApiTokenOut":
        return cls(**_told(token))


class NewApiTokenOut(ApiTokenOut):
    """A token that was just made."""

    model_config = ConfigDict(json_schema_extra={"example": {**_EXAMPLE, "token": "prt_7h1s1sn0t0ne…"}})

    token: str = Field(description="The secret. It is shown this once and kept nowhere.")

    @classmethod
    def with_secret(cls, token: ApiToken, secret: str) -> "NewApiTokenOut":
        return cls(token=secret, **_told(token))


class ApiTokenList(BaseModel):
    """A user's tokens, newest first."""

    model_config = ConfigDict(json_schema_extra={"example": {"items": [_EXAMPLE]}})

    items: list[ApiTokenOut]


class ApiTokenQuery(BaseModel):
    """Whose tokens."""

    model_config = ConfigDict(extra="forbid")

    owner_id: UUID | None = Field(None, description="Another user's, for administrators and auditors.")


def _told(token: ApiToken) -> dict[str, object]:
    return {
        "id": token.id,
        "name": token.name,
        "permissions": sorted(token.permissions),
        "networks": [str(network) for network in token.networks],
        "case_id": token.case_id,
        "owner_id": token.user_id,
        "created_at": token.created_at,
        "expires_at": token.expires_at,
        "revoked_at": token.revoked_at,
        "last_used_at": token.last_used_at,
    }
