"""The caller's own account over HTTP: register, set or change the password, enrol and remove an authenticator."""

from fastapi import Response

from portal.core import errors
from portal.core.errors import PortalError
from portal.core.rates import RouteClass
from portal.features.identity.deps import Enrols, IdentityDep, RequestOrigin, WithAccount
from portal.features.identity.factors import AlreadyEnrolled, NotEnrolled
from portal.features.identity.grant_errors import InvalidGrant, TotpRequired
from portal.features.identity.passwords import PasswordGuessable, PasswordLength
from portal.features.identity.registration import InvitationRefused, RegistrationClosed
from portal.features.identity.request_bodies import (
    EnrolmentProof,
    NewPassword,
    Proof,
    Registering,
    RemovalProof,
    SettingPassword,
)
from portal.features.identity.schemas import (
    MeOut,
    RecoveryCodesOut,
    TotpCreated,
)
from portal.features.identity.sessions import TotpEnrolmentRequired
from portal.features.identity.throttle import TooManyAttempts
from portal.features.identity.users import UserTaken
from portal.web import routing
from portal.web.errors import BODY_ERRORS, documented
from portal.web.limits import rated

router = routing.router()

_PASSWORD: list[type[PortalError]] = [errors.Unprocessable, PasswordLength, PasswordGuessable]
_PROOF: list[type[PortalError]] = [
    *BODY_ERRORS,
    errors.NotSignedIn,
    errors.InsufficientScope,
    InvalidGrant,
    errors.Conflict,
    TooManyAttempts,
    errors.Unprocessable,
    errors.Unavailable,
]


@router.post(
    "/auth/register",
    tags=["auth"],
    status_code=201,
    summary="Register an account",
    response_description="The account.",
    responses=documented(
        *BODY_ERRORS, RegistrationClosed, InvitationRefused, UserTaken, *_PASSWORD, errors.Unavailable
    ),
)
@rated(RouteClass.REGISTER)
async def register(given: Registering, identity: IdentityDep, origin: RequestOrigin) -> MeOut:
    """`PORTAL_REGISTRATION` decides: no registration, only with an invitation, or open to all (as `uploader`)."""
    user = await identity.registration.register(given.name, given.password, given.invitation, origin)
    return MeOut.of(user)


@router.post(
    "/auth/password",
    tags=["auth"],
    status_code=204,
    summary="Set a password with a one-time secret",
    response_description="The password is set; every session of the account is over.",
    responses=documented(*BODY_ERRORS, InvitationRefused, errors.Conflict, *_PASSWORD, errors.Unavailable),
)
@rated(RouteClass.REDEEM)
async def set_password(given: SettingPassword, identity: IdentityDep, origin: RequestOrigin) -> Response:
    """Sets the password of a new account, or after a reset, with the one-time secret from an administrator."""
    await identity.registration.set_password(given.secret, given.password, origin, everything=given.revoke_all)
    return Response(status_code=204)


@router.post(
    "/users/me/password",
    tags=["account"],
    status_code=204,
    summary="Change your password",
    response_description="The password is changed; every other session is over.",
    responses=documented(*_PROOF, TotpRequired, TotpEnrolmentRequired, *_PASSWORD),
)
@rated(RouteClass.CHANGE)
async def update_password(
    principal: WithAccount, given: NewPassword, identity: IdentityDep, origin: RequestOrigin
) -> Response:
    """Needs the current password, and a code where the account has an authenticator."""
    await identity.own_account.change_password(
        principal,
        given.current_password,
        given.totp,
        given.new_password,
        origin,
        everything=given.revoke_all,
    )
    return Response(status_code=204)


@router.post(
    "/users/me/totp",
    tags=["account"],
    status_code=201,
    summary="Enrol an authenticator",
    response_description="What the authenticator is given.",
    responses=documented(*_PROOF, AlreadyEnrolled),
)
@rated(RouteClass.CHANGE)
async def create_totp(principal: Enrols, given: Proof, identity: IdentityDep, origin: RequestOrigin) -> TotpCreated:
    """Shows a TOTP secret once (RFC 6238: SHA-1, six digits, 30 seconds). It has no effect until a code confirms it."""
    made = await identity.own_account.enrol_totp(principal, given.password, origin)
    return TotpCreated(secret=made.secret, uri=made.uri)


@router.post(
    "/users/me/totp/confirm",
    tags=["account"],
    summary="Confirm an authenticator with a code",
    response_description="The recovery codes.",
    responses=documented(*_PROOF, AlreadyEnrolled, NotEnrolled),
)
@rated(RouteClass.CHANGE)
async def confirm_totp(
    principal: Enrols, given: EnrolmentProof, identity: IdentityDep, origin: RequestOrigin
) -> RecoveryCodesOut:
    """Confirms the authenticator: from now on every sign-in needs a code. Shows ten recovery codes once."""
    codes = await identity.own_account.confirm_totp(principal, given.password, given.totp, origin)
    return RecoveryCodesOut(recovery_codes=codes)


@router.post(
    "/users/me/totp/delete",
    tags=["account"],
    status_code=204,
    summary="Remove your authenticator",
    response_description="The authenticator and its recovery codes are gone.",
    responses=documented(*_PROOF, TotpRequired, TotpEnrolmentRequired, NotEnrolled),
)
@rated(RouteClass.CHANGE)
async def delete_totp(
    principal: WithAccount, given: RemovalProof, identity: IdentityDep, origin: RequestOrigin
) -> Response:
    """Needs the password and a code, or a recovery code."""
    await identity.own_account.remove_totp(principal, given.password, given.totp, origin)
    return Response(status_code=204)
