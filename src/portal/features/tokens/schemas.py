"""The JSON bodies and queries of the API token routes. Only the response to a creation contains a secret."""

import re
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_interface, ip_network
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, WithJsonSchema
from pydantic.config import JsonDict

from portal.core.principal import Permission
from portal.features.tokens.repository import ApiToken
from portal.web.fields import Moment, Readable
from portal.web.pages import ItemPage, PageQuery, page_example

MAX_HOURS = 366 * 24
_MAPPED_BITS = 96  # the prefix length of ::ffff:0:0/96, the IPv4-mapped addresses
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


_WRITTEN = re.compile(r"[0-9A-Fa-f.:]{2,45}(/[0-9.]{1,15})?", re.ASCII)


def _network(value: object) -> IPv4Network | IPv6Network:
    if not isinstance(value, str):  # ip_network accepts numbers, and even False
        raise ValueError("write the network as text: 192.0.2.0/24")  # noqa: TRY004  # pydantic expects it
    try:
        network = ip_network(value if _WRITTEN.fullmatch(value) else "", strict=False)
    except ValueError:
        raise ValueError("is not a network: write it as 192.0.2.0/24 or 2001:db8::/32") from None
    if network.network_address != ip_interface(value).ip:
        raise ValueError(f"host bits are set: write {network}")
    return _plain(network)


def _plain(network: IPv4Network | IPv6Network) -> IPv4Network | IPv6Network:
    """An IPv4-mapped IPv6 network as its IPv4 network: callers' addresses are compared in that form."""
    mapped = None if isinstance(network, IPv4Network) else network.network_address.ipv4_mapped
    bits = network.prefixlen - _MAPPED_BITS
    return network if mapped is None or bits < 0 else IPv4Network((mapped, bits))


Network = Annotated[
    IPv4Network | IPv6Network,
    PlainValidator(_network),
    WithJsonSchema({"type": "string", "maxLength": 61, "pattern": f"^{_WRITTEN.pattern}$"}),
]
"""One validator for both kinds: of two, pydantic would tell both stories."""


class TokenPermission(StrEnum):
    """A permission of an API token. The permissions that only a sign-in can have are missing."""

    FILES_READ = Permission.FILES_READ
    FILES_UPLOAD = Permission.FILES_UPLOAD
    FILES_CHANGE = Permission.FILES_CHANGE
    DOWNLOAD_RAW = Permission.DOWNLOAD_RAW
    DOWNLOAD_WRAPPED = Permission.DOWNLOAD_WRAPPED
    CASES_READ = Permission.CASES_READ
    CASES_CHANGE = Permission.CASES_CHANGE


class ApiTokenCreate(BaseModel):
    """A new API token."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "name": "collector on FIN-7",
                "permissions": ["files:upload"],
                "expires_in_hours": 720,
                "networks": ["192.0.2.0/24"],
            }
        },
    )

    name: Annotated[str, Readable()] = Field(
        max_length=100, description="The purpose of the token. Shown in lists and in the audit log."
    )
    permissions: list[TokenPermission] = Field(
        min_length=1,
        max_length=len(TokenPermission),
        description="A subset of what its owner may do; `files:upload` alone makes an upload-only token.",
    )
    expires_in_hours: Annotated[int, Field(strict=True, ge=1, le=MAX_HOURS)] = 90 * 24
    networks: list[Network] | None = Field(
        None, min_length=1, max_length=16, description="The networks it may be used from; any if left out."
    )
    case_id: UUID | None = Field(None, description="The only case in which the token is valid.")


class ApiTokenOut(BaseModel):
    """An API token, without its secret."""

    model_config = ConfigDict(json_schema_extra={"example": _EXAMPLE})

    id: UUID
    name: str
    permissions: list[TokenPermission]
    networks: list[str]
    case_id: UUID | None
    owner_id: UUID
    created_at: Moment
    expires_at: Moment
    revoked_at: Moment | None
    last_used_at: Moment | None = Field(description="When it was last used, to the minute.")

    @classmethod
    def of(cls, token: ApiToken) -> "ApiTokenOut":
        return cls(**_told(token))


class ApiTokenCreated(ApiTokenOut):
    """A new API token with its secret, which is shown this once."""

    model_config = ConfigDict(json_schema_extra={"example": {**_EXAMPLE, "token": "prt_7h1s1sn0t0ne…"}})

    token: str = Field(description="The secret. It is shown this once and never stored.")

    @classmethod
    def with_secret(cls, token: ApiToken, secret: str) -> "ApiTokenCreated":
        return cls(token=secret, **_told(token))


class ApiTokenPage(ItemPage[ApiTokenOut]):
    """One page of a user's API tokens, newest first."""

    model_config = page_example(_EXAMPLE)


class ApiTokenQuery(PageQuery):
    """The account and the page of a listing of API tokens."""

    owner_id: UUID | None = Field(None, description="Another account; for administrators and auditors only.")


def _told(token: ApiToken) -> dict[str, object]:
    return {
        "id": token.id,
        "name": token.name,
        "permissions": sorted(map(TokenPermission, token.permissions)),
        "networks": [str(network) for network in token.networks],
        "case_id": token.case_id,
        "owner_id": token.user_id,
        "created_at": token.created_at,
        "expires_at": token.expires_at,
        "revoked_at": token.revoked_at,
        "last_used_at": token.last_used_at,
    }
