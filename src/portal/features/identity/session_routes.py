"""Sessions over HTTP: list, revoke one, confirm with the password, and revoke everything of the account."""

from uuid import UUID

from fastapi import Request, Response

from portal.core import errors
from portal.core.errors import PortalError
from portal.core.rates import RouteClass
from portal.features.identity.deps import IdentityDep, RequestOrigin, WithAccount
from portal.features.identity.grant_errors import InvalidGrant, TotpRequired
from portal.features.identity.request_bodies import Confirming, WhoseSessions
from portal.features.identity.session_schemas import RevokedOut, SessionOut, SessionPage
from portal.features.identity.sessions import TotpEnrolmentRequired
from portal.features.identity.throttle import TooManyAttempts
from portal.web import routing
from portal.web.errors import BODY_ERRORS, documented
from portal.web.limits import rated
from portal.web.pages import paging

router = routing.router("auth")

_KNOWN: list[type[PortalError]] = [
    errors.NotSignedIn,
    errors.InsufficientScope,
    TotpEnrolmentRequired,
    errors.Unavailable,
]
_ONE: list[type[PortalError]] = [*_KNOWN, errors.Forbidden, errors.NotFound]


@router.post(
    "/auth/confirm",
    status_code=204,
    summary="Confirm your password",
    response_description="The session is as good as a fresh sign-in for 15 minutes.",
    responses=documented(
        *BODY_ERRORS,
        *_KNOWN,
        InvalidGrant,
        TotpRequired,
        TooManyAttempts,
        errors.Unprocessable,
    ),
)
@rated(RouteClass.CHANGE)
async def confirm_password(
    principal: WithAccount, given: Confirming, identity: IdentityDep, origin: RequestOrigin
) -> Response:
    """Confirms the session with the password, for requests that are refused with `fresh_sign_in_required`: creating
    API tokens, links that last longer than a session, and accounts.
    """
    await identity.own_account.confirm(principal, given.password, given.totp, origin)
    return Response(status_code=204)


@router.post(
    "/auth/revoke-all",
    summary="Revoke everything of your account",
    response_description="How many of each kind were revoked.",
    responses=documented(*_KNOWN),
)
@rated(RouteClass.CHANGE)
async def revoke_all(principal: WithAccount, identity: IdentityDep, origin: RequestOrigin) -> RevokedOut:
    """Ends all your sessions, this one included, and all API tokens, links, grants and invitations that you created.
    Permanent.
    """
    return RevokedOut(**await identity.own_account.end_everything(principal, origin))


@router.get(
    "/sessions",
    summary="List sessions",
    response_description="One page, newest first.",
    responses=documented(errors.InvalidInput, *_ONE),
)
@rated(RouteClass.READ)
async def list_sessions(
    request: Request, principal: WithAccount, identity: IdentityDep, query: WhoseSessions
) -> SessionPage:
    """Your live sessions, or another user's if you are an administrator or auditor."""
    listing = paging(request, query, principal.user_id)
    owner_id = listing.query.owner_id or principal.user_id
    page = await identity.my_sessions.of_user(principal, owner_id, listing.after, listing.query.limit)
    items = [SessionOut.of(session, current=session.id == principal.credential_id) for session in page.items]
    return SessionPage(items=items, next_cursor=listing.cursor(page.next_after))


@router.delete(
    "/sessions/{session_id:uuid}",
    status_code=204,
    summary="Revoke a session",
    response_description="The session is over.",
    responses=documented(*_ONE),
)
@rated(RouteClass.CHANGE)
async def revoke_session(
    session_id: UUID, principal: WithAccount, identity: IdentityDep, origin: RequestOrigin
) -> Response:
    """Revokes your own session, or any if you are an administrator. It takes effect at once: running transfers break
    off.
    """
    await identity.my_sessions.end(principal, session_id, origin)
    return Response(status_code=204)
