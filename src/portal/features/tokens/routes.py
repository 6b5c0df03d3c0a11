"""API tokens over HTTP: create, list, revoke. They need a sign-in: an API token cannot manage API tokens."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from fastapi import Request, Response

from portal.core import errors
from portal.core.principal import Permission
from portal.core.rates import RouteClass
from portal.features.identity.deps import RequestOrigin, WithAccount, WithFreshSignIn
from portal.features.identity.recent_sign_in import FreshSignInRequired
from portal.features.tokens.deps import NewToken, TokensDep, Whose
from portal.features.tokens.schemas import ApiTokenCreated, ApiTokenOut, ApiTokenPage
from portal.features.tokens.service import NewApiToken, TooManyTokens
from portal.web import routing
from portal.web.errors import TooSlow, UnsupportedMediaType, documented
from portal.web.limits import rated
from portal.web.pages import paging

router = routing.router("tokens")

_KNOWN = (errors.NotSignedIn, errors.InsufficientScope, errors.Unavailable)
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ApiTokenCreate"}}},
    }
}


@router.post(
    "/tokens",
    status_code=201,
    summary="Create an API token",
    response_description="The token, with its secret: the only time.",
    responses=documented(
        *_KNOWN,
        errors.InvalidInput,
        UnsupportedMediaType,
        TooSlow,
        TooManyTokens,
        FreshSignInRequired,
        errors.NotFound,
        errors.TooLarge,
        errors.Unprocessable,
    ),
    openapi_extra=_BODY,
)
@rated(RouteClass.CHANGE)
async def create_api_token(
    principal: WithFreshSignIn, body: NewToken, tokens: TokensDep, origin: RequestOrigin, response: Response
) -> ApiTokenCreated:
    """Creates a token for a script or a service. It never has more rights than you, and no permission not named here.

    It outlives the sign-in, so the password must have been entered in the last 15 minutes (`POST /auth/confirm`).
    """
    wanted = NewApiToken(
        name=body.name,
        permissions=frozenset(map(Permission, body.permissions)),
        lifetime=timedelta(hours=body.expires_in_hours),
        networks=tuple(body.networks or ()),
        case_id=body.case_id,
    )
    made = await tokens.create(principal, wanted, origin)
    response.headers["Cache-Control"] = "no-store"
    return ApiTokenCreated.with_secret(made.token, made.secret)


@router.get(
    "/tokens",
    summary="List API tokens",
    response_description="One page, newest first.",
    responses=documented(errors.InvalidInput, *_KNOWN, errors.Forbidden, errors.NotFound),
)
@rated(RouteClass.READ)
async def list_api_tokens(request: Request, principal: WithAccount, tokens: TokensDep, query: Whose) -> ApiTokenPage:
    """Your tokens, or another user's if you are an administrator or auditor. The secrets are not stored."""
    listing = paging(request, query, principal.user_id)
    owner_id = listing.query.owner_id or principal.user_id
    page = await tokens.of_user(principal, owner_id, listing.after, listing.query.limit)
    return ApiTokenPage(
        items=[ApiTokenOut.of(token) for token in page.items], next_cursor=listing.cursor(page.next_after)
    )


@router.delete(
    "/tokens/{token_id:uuid}",
    status_code=204,
    summary="Revoke an API token",
    response_description="The token is over.",
    responses=documented(*_KNOWN, errors.Forbidden, errors.NotFound),
)
@rated(RouteClass.CHANGE)
async def revoke_api_token(
    token_id: UUID, principal: WithAccount, tokens: TokensDep, origin: RequestOrigin
) -> Response:
    """Revokes a token at once: the next request with it is refused, and a running transfer breaks off."""
    await tokens.revoke(principal, token_id, origin)
    return Response(status_code=204)
