"""The JSON of the published signing keys: a JWK set (RFC 7517, RFC 8037)."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from portal.features.signing.documents import to_base64url
from portal.features.signing.repository import SigningKey
from portal.web.fields import Moment

_KEY: JsonDict = {
    "kty": "OKP",
    "crv": "Ed25519",
    "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
    "kid": "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
    "use": "sig",
    "alg": "EdDSA",
    "created_at": "2026-11-21T12:00:00.000000Z",
    "retired_at": "2027-11-21T12:00:00.000000Z",
}


class SigningKeyOut(BaseModel):
    """The public half of a signing key, as a JWK."""

    model_config = ConfigDict(json_schema_extra={"example": _KEY})

    kty: Literal["OKP"] = Field("OKP", description="The kind of key.")
    crv: Literal["Ed25519"] = Field("Ed25519", description="The curve.")
    x: str = Field(description="The public half: 32 bytes in base64url.")
    kid: str = Field(description="Its thumbprint (RFC 7638); a signed document names it.")
    use: Literal["sig"] = Field("sig", description="It verifies signatures.")
    alg: Literal["EdDSA"] = Field("EdDSA", description="The signature's algorithm.")
    created_at: Moment = Field(description="It signed nothing before.")
    retired_at: Moment | None = Field(description="From then on it signed nothing: its private half was destroyed.")

    @classmethod
    def of(cls, key: SigningKey) -> "SigningKeyOut":
        return cls(x=to_base64url(key.public), kid=key.id, created_at=key.created_at, retired_at=key.retired_at)


class SigningKeysOut(BaseModel):
    """The public halves of all signing keys of this portal, newest first: a JWK set."""

    model_config = ConfigDict(json_schema_extra={"example": {"keys": [_KEY]}})

    keys: list[SigningKeyOut] = Field(description="The one that signs now comes first.")
