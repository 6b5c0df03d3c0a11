"""The JSON bodies and queries of the identity routes."""

from datetime import timedelta
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from portal.core.principal import Role
from portal.features.identity.invitation_rows import Invitation
from portal.features.identity.names import MAX_NAME
from portal.features.identity.repository import User
from portal.web.fields import Moment, Version
from portal.web.pages import ItemPage, PageQuery, page_example

_ID = "0190f3a2-7c11-7d53-8e0c-5a1d2f3b4c5d"
_AT = "2026-11-21T12:00:00.000000Z"
_SECRET = "pinv_Jx0…"  # noqa: S105  # an example
_PASSWORD = "correct horse battery"  # noqa: S105  # the same
_LONGEST = 1024  # characters: no valid password is longer, so longer text is refused unread

Password = Annotated[str, Field(max_length=_LONGEST, json_schema_extra={"format": "password"})]
Code = Annotated[str, Field(min_length=6, max_length=64, description="Six digits, or a recovery code.")]
RevokeAll = Annotated[bool, Field(description="Revoke the account's API tokens, links, grants and invitations, too.")]
GivenName = Annotated[str, Field(min_length=1, max_length=MAX_NAME, description="No spaces, no invisible letters.")]
GivenRole = Annotated[Role, Field(strict=False)]  # JSON has no enums: text is converted


_ME: JsonDict = {"id": _ID, "name": "alice", "role": "analyst", "created_at": _AT}
_USER: JsonDict = {**_ME, "disabled_at": _AT, "has_password": True, "has_totp": False, "version": 1}

_INVITATION: JsonDict = {"id": _ID, "role": "analyst", "created_by": _ID, "created_at": _AT, "expires_at": _AT}


class MeOut(BaseModel):
    """An account, as its owner sees it."""

    model_config = ConfigDict(json_schema_extra={"example": _ME})

    id: UUID
    name: str
    role: Role
    created_at: Moment

    @classmethod
    def of(cls, user: User) -> "MeOut":
        return cls(id=user.id, name=user.name, role=user.role, created_at=user.created_at)


class UserOut(BaseModel):
    """An account, as an administrator sees it."""

    model_config = ConfigDict(json_schema_extra={"example": _USER})

    id: UUID
    name: str
    role: Role
    created_at: Moment
    disabled_at: Moment | None
    has_password: bool = Field(description="False until its owner has set one.")
    has_totp: bool = Field(description="Whether a sign-in needs a code.")
    version: Version

    @classmethod
    def of(cls, user: User) -> "UserOut":
        return cls(
            id=user.id,
            name=user.name,
            role=user.role,
            created_at=user.created_at,
            disabled_at=user.disabled_at,
            has_password=bool(user.password_hash),
            has_totp=user.totp_since is not None,
            version=user.version,
        )


class UserPage(ItemPage[UserOut]):
    """One page of accounts, newest first."""

    model_config = page_example(_USER)


class UserQuery(PageQuery):
    """The filters and the page of a listing of accounts."""

    role: Role | None = None
    disabled: bool | None = None


class ResetQuery(BaseModel):
    """The extent of a password reset."""

    model_config = ConfigDict(extra="forbid")

    revoke_all: bool = Field(
        True,  # a stolen password is the more frequent reason for a reset
        description="Revoke every API token, link, grant and invitation of the account, too; false keeps them.",
    )


class SecretOut(BaseModel):
    """A one-time secret for setting a password. It is shown this once."""

    model_config = ConfigDict(json_schema_extra={"example": {"secret": _SECRET, "expires_at": _AT}})

    secret: str
    expires_at: Moment


class UserCreated(BaseModel):
    """A new account, and the one-time secret for its owner to set a password. The secret is shown this once."""

    model_config = ConfigDict(json_schema_extra={"example": {"user": _USER, "secret": _SECRET, "expires_at": _AT}})

    user: UserOut
    secret: str
    expires_at: Moment


class InvitationOut(BaseModel):
    """A valid, unused invitation, without its secret."""

    model_config = ConfigDict(json_schema_extra={"example": _INVITATION})

    id: UUID
    role: Role
    created_by: UUID | None = Field(description="Null for the command line.")
    created_at: Moment
    expires_at: Moment

    @classmethod
    def of(cls, made: Invitation) -> "InvitationOut":
        return cls(
            id=made.id,
            role=made.role or Role.UPLOADER,
            created_by=made.created_by,
            created_at=made.created_at,
            expires_at=made.expires_at,
        )


class InvitationPage(ItemPage[InvitationOut]):
    """The valid invitations, newest first."""

    model_config = page_example(_INVITATION)


class InvitationCreated(BaseModel):
    """A new invitation and its secret, which is shown this once."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"id": _ID, "role": "analyst", "secret": _SECRET, "expires_at": _AT}}
    )

    id: UUID
    role: Role
    secret: str
    expires_at: Moment


class TotpCreated(BaseModel):
    """The secret for an authenticator app. It is shown this once, and has no effect until it is confirmed."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"secret": "JBSWY3DP…", "uri": "otpauth://totp/portal:alice?secret=JBSWY3DP…"}}
    )

    secret: str
    uri: str


class RecoveryCodesOut(BaseModel):
    """Recovery codes. Each replaces an authenticator's code once. They are shown this once."""

    model_config = ConfigDict(json_schema_extra={"example": {"recovery_codes": ["7k2mp-…"]}})

    recovery_codes: list[str]


class _Given(BaseModel):
    """The base of request bodies: unknown fields are refused, values are not converted, errors do not echo input."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)


class UserCreate(_Given):
    """A new account. Its owner sets the password."""

    model_config = ConfigDict(json_schema_extra={"example": {"name": "alice", "role": "analyst"}})

    name: GivenName
    role: GivenRole


class UserUpdate(_Given):
    """The fields of an account to change. Omitted fields stay as they are."""

    model_config = ConfigDict(json_schema_extra={"example": {"role": "auditor", "disabled": False}})

    role: GivenRole | None = None
    disabled: bool | None = None


class InvitationCreate(_Given):
    """The role that the new account will have, and the invitation's lifetime."""

    model_config = ConfigDict(json_schema_extra={"example": {"role": "analyst", "expires_in_hours": 72}})

    role: GivenRole
    expires_in_hours: int = Field(72, ge=1, le=720)

    @property
    def lasts(self) -> timedelta:
        return timedelta(hours=self.expires_in_hours)


class RegisterRequest(_Given):
    """The registration of a new account by its owner."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"name": "alice", "password": _PASSWORD, "invitation": _SECRET}}
    )

    name: GivenName
    password: Password
    invitation: str | None = Field(None, max_length=200, description="The secret of an invitation.")


class SetPasswordRequest(_Given):
    """A new password, set with a one-time secret."""

    model_config = ConfigDict(json_schema_extra={"example": {"secret": _SECRET, "password": _PASSWORD}})

    secret: str = Field(max_length=200)
    password: Password
    revoke_all: RevokeAll = False


class PasswordUpdate(_Given):
    """A new password, set with the current one."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"current_password": _PASSWORD, "new_password": "paper boat in winter"}}
    )

    current_password: Password
    new_password: Password
    totp: Code | None = Field(None, description="Where the account has an authenticator.")
    revoke_all: RevokeAll = False


class TotpCreate(_Given):
    """The account's password, as a confirmation."""

    model_config = ConfigDict(json_schema_extra={"example": {"password": _PASSWORD}})

    password: Password


class ConfirmRequest(_Given):
    """The account's password as a confirmation, and a code where the account has an authenticator."""

    model_config = ConfigDict(json_schema_extra={"example": {"password": _PASSWORD}})

    password: Password
    totp: Code | None = Field(None, description="Where the account has an authenticator.")


class TotpRequest(_Given):
    """The account's password and a code, as a confirmation."""

    model_config = ConfigDict(json_schema_extra={"example": {"password": _PASSWORD, "totp": "492039"}})

    password: Password
    totp: Code
