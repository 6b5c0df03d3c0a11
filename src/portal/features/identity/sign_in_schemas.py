"""The request form and the response of the token endpoint. The form's schema is for the OpenAPI document only."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class TokenRequest(BaseModel):
    """A sign-in (`username` and `password`) or a refresh (`refresh_token`). For the document: `bodies` reads the form.

    The defaults are what Swagger UI fills in: an empty field is one that was not sent.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"grant_type": "password", "username": "alice", "password": "correct horse battery"}
        }
    )

    grant_type: Literal["password", "refresh_token"] = Field(description="The kind of proof.")
    username: str = Field("", max_length=64, description="With `password`.")
    password: str = Field("", max_length=1024, json_schema_extra={"format": "password"}, description="With `password`.")
    totp: str = Field("", max_length=64, description="A code of the account's authenticator, or a recovery code.")
    refresh_token: str = Field("", max_length=4096, description="With `refresh_token`: the one from the last response.")
    scope: str = Field(
        "", max_length=1024, description="The permissions of the session, separated by blanks; all if empty."
    )


class TokenOut(BaseModel):
    """The tokens of a session (RFC 6749 §5.1)."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "access_token": "eyJhbGciOi…",
                "token_type": "bearer",
                "expires_in": 900,
                "refresh_token": "0190f3a27c117d538e0c5a1d2f3b4c5d.…",
                "scope": "files:read files:upload",
            }
        }
    )

    access_token: str
    token_type: str = "bearer"  # noqa: S105  # a word of the protocol
    expires_in: int = Field(description="Seconds until the access token expires.")
    refresh_token: str = Field(
        description="Valid for one refresh: a repeat in 30 seconds returns the same pair; later it ends the session."
    )
    scope: str = Field(description="The permissions of the access token. The account's role restricts them.")
