"""Links over HTTP, for callers with an account: create, list, revoke. They need a sign-in, not an API token.

Next: `shared_routes` serves the callers who have received a link.
"""

from uuid import UUID

from fastapi import Request, Response

from portal.core import errors
from portal.core.errors import PortalError
from portal.core.principal import Origin, Principal
from portal.core.rates import RouteClass
from portal.features.authz.policy import CaseReadOnly, TlpForbidsLinks
from portal.features.files.access import Quarantined
from portal.features.identity.deps import AccountNamesDep, RequestOrigin, WithAccount
from portal.features.identity.passwords import PasswordGuessable, PasswordLength
from portal.features.identity.recent_sign_in import FreshSignInRequired, require_fresh_for
from portal.features.links.deps import LinksDep, Listing, NewDownloadLink, NewUploadLink
from portal.features.links.links import TooManyLinks
from portal.features.links.schemas import (
    LinkCreated,
    LinkOut,
    LinkPage,
)
from portal.features.links.service import Links
from portal.features.links.views import NewLink
from portal.web import routing
from portal.web.errors import BODY_ERRORS, documented
from portal.web.limits import rated
from portal.web.pages import paging

router = routing.router("links")

_LISTED: list[type[PortalError]] = [errors.NotSignedIn, errors.InsufficientScope, errors.Unavailable]
_KNOWN: list[type[PortalError]] = [*_LISTED, errors.Forbidden, errors.NotFound]
_MAKE: list[type[PortalError]] = [
    *BODY_ERRORS,
    *_KNOWN,
    CaseReadOnly,
    TlpForbidsLinks,
    TooManyLinks,
    errors.Unprocessable,
    PasswordLength,
    PasswordGuessable,
    FreshSignInRequired,
]


@router.post(
    "/links/download",
    status_code=201,
    summary="Create a download link",
    response_description="The link, with its secret: the only time.",
    responses=documented(*_MAKE, Quarantined),
)
@rated(RouteClass.CHANGE)
async def create_download_link(
    principal: WithAccount,
    body: NewDownloadLink,
    links: LinksDep,
    account_names: AccountNamesDep,
    origin: RequestOrigin,
    response: Response,
) -> LinkCreated:
    """Creates a link to files that you may download, in one case or your inbox. A lead can link to a whole case."""
    made = await _made(principal, body.wanted(), links, origin)
    response.headers["Cache-Control"] = "no-store"
    return await account_names.named(principal, made)


@router.post(
    "/links/upload",
    status_code=201,
    summary="Create an upload link",
    response_description="The link, with its secret: the only time.",
    responses=documented(*_MAKE),
)
@rated(RouteClass.CHANGE)
async def create_upload_link(
    principal: WithAccount,
    body: NewUploadLink,
    links: LinksDep,
    account_names: AccountNamesDep,
    origin: RequestOrigin,
    response: Response,
) -> LinkCreated:
    """Creates a link for uploads to a case that you lead or contribute to, or to your inbox. The recipient of the link
    can read no file, not even the uploaded ones.
    """
    made = await _made(principal, body.wanted(), links, origin)
    response.headers["Cache-Control"] = "no-store"
    return await account_names.named(principal, made)


@router.get(
    "/links",
    summary="List links",
    response_description="One page, newest first.",
    responses=documented(errors.InvalidInput, *_LISTED),
)
@rated(RouteClass.READ)
async def list_links(
    request: Request, principal: WithAccount, links: LinksDep, account_names: AccountNamesDep, query: Listing
) -> LinkPage:
    """The links that you created. Auditors and administrators see all. The secrets are not stored."""
    listing = paging(request, query, principal.user_id)
    page = await links.links.list(principal, listing.after, listing.query.limit)
    items = await account_names.all_named(principal, [LinkOut.of(link) for link in page.items])
    return LinkPage(items=items, next_cursor=listing.cursor(page.next_after))


@router.get(
    "/cases/{case_id:uuid}/links",
    summary="List a case's links",
    response_description="Newest first.",
    responses=documented(errors.InvalidInput, *_KNOWN),
)
@rated(RouteClass.READ)
async def list_case_links(
    request: Request,
    case_id: UUID,
    principal: WithAccount,
    links: LinksDep,
    account_names: AccountNamesDep,
    query: Listing,
) -> LinkPage:
    """All links of the case. For leads of the case, auditors and administrators."""
    listing = paging(request, query, principal.user_id)
    page = await links.links.of_case(principal, case_id, listing.after, listing.query.limit)
    items = await account_names.all_named(principal, [LinkOut.of(link) for link in page.items])
    return LinkPage(items=items, next_cursor=listing.cursor(page.next_after))


@router.delete(
    "/links/{link_id:uuid}",
    status_code=204,
    summary="Revoke a link",
    response_description="The link is over.",
    responses=documented(*_KNOWN),
)
@rated(RouteClass.CHANGE)
async def revoke_link(link_id: UUID, principal: WithAccount, links: LinksDep, origin: RequestOrigin) -> Response:
    """Revokes a link at once: its running transfers break off. For its creator, its case's leads, administrators."""
    await links.links.revoke(principal, link_id, origin)
    return Response(status_code=204)


async def _made(principal: Principal, wanted: NewLink, links: Links, origin: Origin) -> LinkCreated:
    require_fresh_for(principal, wanted.lifetime)
    made = await links.links.create(principal, wanted, origin)
    return LinkCreated.with_secret(made.link, made.secret)
