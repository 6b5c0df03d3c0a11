"""Accounts and invitations over HTTP, for administrators."""

from typing import Any
from uuid import UUID

from fastapi import Request, Response

from portal.core import errors
from portal.core.errors import PortalError
from portal.core.rates import RouteClass
from portal.features.identity.accounts import LastAdministrator, UserChanges
from portal.features.identity.deps import ADMIN_ERRORS, GivesAccounts, IdentityDep, IfMatch, RequestOrigin, RunsAccounts
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
from portal.features.identity.users import UserTaken
from portal.web import conditional_requests, routing
from portal.web.errors import BODY_ERRORS, documented
from portal.web.limits import rated
from portal.web.pages import paging

router = routing.router("administration")

_ONE: list[type[PortalError]] = [*ADMIN_ERRORS, errors.NotFound]
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
    responses=documented(*BODY_ERRORS, *ADMIN_ERRORS, FreshSignInRequired, UserTaken, errors.Unprocessable),
)
@rated(RouteClass.CHANGE)
async def create_user(
    principal: GivesAccounts, given: NewUser, identity: IdentityDep, origin: RequestOrigin
) -> UserCreated:
    """Send the secret to the account's owner, who sets the password with `POST /auth/password`. No other user learns
    the password.
    """
    user, made = await identity.accounts.create(principal, given.name, given.role, origin)
    return UserCreated(user=UserOut.of(user), secret=made.secret, expires_at=made.expires_at)


@router.get(
    "/users",
    summary="List accounts",
    response_description="One page, newest first.",
    responses=documented(errors.InvalidInput, *ADMIN_ERRORS),
)
@rated(RouteClass.READ)
async def list_users(request: Request, principal: RunsAccounts, identity: IdentityDep, query: Listing) -> UserPage:
    """One page of accounts, newest first."""
    listing = paging(request, query, principal.user_id)
    filters = UserFilters(listing.query.role, listing.query.disabled)
    page = await identity.accounts.page(principal, filters, listing.after, listing.query.limit)
    return UserPage(items=[UserOut.of(user) for user in page.items], next_cursor=listing.cursor(page.next_after))


@router.get("/users/{user_id:uuid}", summary="Read an account", responses={**_TAGGED, **documented(*_ONE)})
@rated(RouteClass.READ)
async def read_user(user_id: UUID, principal: RunsAccounts, identity: IdentityDep, response: Response) -> UserOut:
    """Send the ETag as `If-Match` with a change."""
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
    """Changes the role, or disables or enables the account. Its sessions and API tokens end within a second, and with
    them its running downloads.

    Disabling also ends the account's links, grants and invitations. Enabling it again restores none of them. Disabling
    needs no fresh sign-in, because an attacker gains nothing by it.
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
    """Ends the password, and every session, API token, link, grant and invitation of the account.

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
    """Removes the second factor of a user who lost the authenticator and the recovery codes."""
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
    """Ends the sessions of the account within a second, and with them its running downloads."""
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
    """Ends every session of the account, and every API token, link, grant and invitation that it created. Permanent."""
    return RevokedOut(**await identity.accounts.end_everything(principal, user_id, origin))


@router.post(
    "/invitations",
    status_code=201,
    summary="Create an invitation",
    response_description="The invitation and its secret.",
    responses=documented(*BODY_ERRORS, *ADMIN_ERRORS, FreshSignInRequired),
)
@rated(RouteClass.CHANGE)
async def create_invitation(
    principal: GivesAccounts, given: NewInvitation, identity: IdentityDep, origin: RequestOrigin
) -> InvitationCreated:
    """An invitation is valid for one account, until it expires, and while its creator is an administrator."""
    invitation, made = await identity.accounts.invite(principal, given.role, given.lasts, origin)
    return InvitationCreated(id=invitation.id, role=given.role, secret=made.secret, expires_at=made.expires_at)


@router.get(
    "/invitations",
    summary="List invitations",
    response_description="Every invitation that is good.",
    responses=documented(*ADMIN_ERRORS),
)
@rated(RouteClass.READ)
async def list_invitations(principal: RunsAccounts, identity: IdentityDep) -> InvitationPage:
    """The valid invitations of all administrators, without their secrets."""
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
    """Revokes an unused invitation. An invitation never changes, so that no `If-Match` is needed."""
    await identity.accounts.revoke_invitation(principal, invitation_id, origin)
    return Response(status_code=204)
