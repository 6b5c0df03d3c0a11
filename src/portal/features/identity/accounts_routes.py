"""Accounts and invitations over HTTP, for administrators."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Response

from portal.core import errors
from portal.core.errors import PortalError
from portal.core.rates import RouteClass
from portal.features.identity.accounts import LastAdministrator, UserChanges
from portal.features.identity.deps import GivesAccounts, IdentityDep, IfMatch, RequestOrigin, RunsAccounts
from portal.features.identity.factors import NotEnrolled
from portal.features.identity.recent_sign_in import FreshSignInRequired, require_fresh
from portal.features.identity.repository import UserFilters
from portal.features.identity.request_bodies import Listing, NewInvitation, NewUser, Patch, Resetting
from portal.features.identity.schemas import (
    InvitationCreated,
    InvitationOut,
    InvitationPage,
    SecretOut,
    UserCreated,
    UserOut,
    UserPage,
)
from portal.features.identity.session_schemas import RevokedOut
from portal.features.identity.sessions import TotpEnrolmentRequired
from portal.features.identity.users import UserTaken
from portal.web import conditional_requests
from portal.web.errors import BODY_ERRORS, documented
from portal.web.limits import rated

router = APIRouter(tags=["administration"])

_ALL: list[type[PortalError]] = [
    errors.NotSignedIn,
    errors.InsufficientScope,
    errors.Forbidden,
    TotpEnrolmentRequired,
    errors.Unavailable,
]
_ONE: list[type[PortalError]] = [*_ALL, errors.NotFound]
_TAGGED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The account.",
        "headers": {"ETag": {"required": True, "schema": {"type": "string"}, "description": "For If-Match."}},
    }
}


@router.post(
    "/users",
    status_code=201,
    summary="Create an account",
    response_description="The account and its secret.",
    responses=documented(*BODY_ERRORS, *_ALL, FreshSignInRequired, UserTaken, errors.Unprocessable),
)
@rated(RouteClass.CHANGE)
async def create_user(
    principal: GivesAccounts, given: NewUser, identity: IdentityDep, origin: RequestOrigin
) -> UserCreated:
    """Nobody else learns the password: hand the secret to the owner, who sets it with `POST /auth/password`."""
    user, made = await identity.accounts.create(principal, given.name, given.role, origin)
    return UserCreated(user=UserOut.of(user), secret=made.secret, expires_at=made.expires_at)


@router.get(
    "/users",
    summary="List accounts",
    response_description="One page, newest first.",
    responses=documented(errors.InvalidInput, *_ALL),
)
@rated(RouteClass.READ)
async def list_users(principal: RunsAccounts, identity: IdentityDep, listing: Listing) -> UserPage:
    """Newest first."""
    filters = UserFilters(listing.query.role, listing.query.disabled)
    page = await identity.accounts.page(principal, filters, listing.after, listing.query.limit)
    return UserPage(items=[UserOut.of(user) for user in page.items], next_cursor=listing.cursor(page.next_after))


@router.get("/users/{user_id:uuid}", summary="Read an account", responses={**_TAGGED, **documented(*_ONE)})
@rated(RouteClass.READ)
async def read_user(user_id: UUID, principal: RunsAccounts, identity: IdentityDep, response: Response) -> UserOut:
    """Its ETag goes into If-Match of a change."""
    user = await identity.accounts.get(principal, user_id)
    response.headers["ETag"] = conditional_requests.version_tag(user.version)
    return UserOut.of(user)


@router.patch(
    "/users/{user_id:uuid}",
    summary="Change an account",
    responses={
        **_TAGGED,
        **documented(
            *BODY_ERRORS,
            *_ONE,
            FreshSignInRequired,
            LastAdministrator,
            errors.PreconditionFailed,
            errors.PreconditionRequired,
        ),
    },
)
@rated(RouteClass.CHANGE)
async def update_user(
    user_id: UUID,
    principal: RunsAccounts,
    patch: Patch,
    version: IfMatch,
    identity: IdentityDep,
    origin: RequestOrigin,
    response: Response,
) -> UserOut:
    """Its role, and whether it is disabled. Ends its sessions and API tokens within a second, running downloads too.

    Disabling ends its links, grants and invitations as well, and nothing brings them back. It asks for no fresh
    sign-in: nobody gains by it.
    """
    if patch.role is not None or patch.disabled is False:
        require_fresh(principal)
    changes = UserChanges(patch.role, patch.disabled)
    user = await identity.accounts.change(principal, user_id, version, changes, origin)
    response.headers["ETag"] = conditional_requests.version_tag(user.version)
    return UserOut.of(user)


@router.post(
    "/users/{user_id:uuid}/reset-password",
    summary="Reset a password",
    response_description="The secret with which the owner sets another.",
    responses=documented(*_ONE, errors.Conflict, FreshSignInRequired, LastAdministrator),
)
@rated(RouteClass.CHANGE)
async def reset_password(
    user_id: UUID, principal: GivesAccounts, identity: IdentityDep, origin: RequestOrigin, query: Resetting
) -> SecretOut:
    """The old password is over, and so is every session, API token, link, grant and invitation of the account.

    The authenticator stays.
    """
    made = await identity.accounts.reset_password(principal, user_id, origin, everything=query.revoke_all)
    return SecretOut(secret=made.secret, expires_at=made.expires_at)


@router.post(
    "/users/{user_id:uuid}/reset-totp",
    status_code=204,
    summary="Remove an account's authenticator",
    response_description="The authenticator, its recovery codes and every session are gone.",
    responses=documented(*_ONE, NotEnrolled, errors.Conflict, FreshSignInRequired),
)
@rated(RouteClass.CHANGE)
async def reset_totp(user_id: UUID, principal: GivesAccounts, identity: IdentityDep, origin: RequestOrigin) -> Response:
    """For who lost it, and the recovery codes with it."""
    await identity.accounts.reset_totp(principal, user_id, origin)
    return Response(status_code=204)


@router.post(
    "/users/{user_id:uuid}/logout",
    status_code=204,
    summary="Sign an account out everywhere",
    response_description="Every session is over.",
    responses=documented(*_ONE),
)
@rated(RouteClass.CHANGE)
async def logout_user(user_id: UUID, principal: RunsAccounts, identity: IdentityDep, origin: RequestOrigin) -> Response:
    """Within a second, running downloads too."""
    await identity.accounts.end_sessions(principal, user_id, origin)
    return Response(status_code=204)


@router.post(
    "/users/{user_id:uuid}/revoke-all",
    summary="Revoke everything of an account",
    response_description="How many of each kind were revoked.",
    responses=documented(*_ONE),
)
@rated(RouteClass.CHANGE)
async def revoke_all_of_user(
    user_id: UUID, principal: RunsAccounts, identity: IdentityDep, origin: RequestOrigin
) -> RevokedOut:
    """Every session, API token, link, grant and invitation that it made. Nothing brings them back."""
    return RevokedOut(**await identity.accounts.end_everything(principal, user_id, origin))


@router.post(
    "/invitations",
    status_code=201,
    summary="Create an invitation",
    response_description="The invitation and its secret.",
    responses=documented(*BODY_ERRORS, *_ALL, FreshSignInRequired),
)
@rated(RouteClass.CHANGE)
async def create_invitation(
    principal: GivesAccounts, given: NewInvitation, identity: IdentityDep, origin: RequestOrigin
) -> InvitationCreated:
    """Good for one account, while it lasts and while you are an administrator."""
    invitation, made = await identity.accounts.invite(principal, given.role, given.lasts, origin)
    return InvitationCreated(id=invitation.id, role=given.role, secret=made.secret, expires_at=made.expires_at)


@router.get(
    "/invitations",
    summary="List invitations",
    response_description="Every invitation that is good.",
    responses=documented(*_ALL),
)
@rated(RouteClass.READ)
async def list_invitations(principal: RunsAccounts, identity: IdentityDep) -> InvitationPage:
    """Whoever made them; never their secrets."""
    invitations = await identity.accounts.invitations(principal)
    return InvitationPage(items=[InvitationOut.of(invitation) for invitation in invitations])


@router.delete(
    "/invitations/{invitation_id:uuid}",
    status_code=204,
    summary="Revoke an invitation",
    response_description="The invitation is gone.",
    responses=documented(*_ONE),
)
@rated(RouteClass.CHANGE)
async def revoke_invitation(
    invitation_id: UUID, principal: RunsAccounts, identity: IdentityDep, origin: RequestOrigin
) -> Response:
    """An invitation never changes, so that there is no version to name."""
    await identity.accounts.revoke_invitation(principal, invitation_id, origin)
    return Response(status_code=204)
