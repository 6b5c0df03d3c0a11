"""Routes for rights to one file: grants to accounts, and break-glass access for administrators."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from fastapi import Request, Response

from portal.core import errors
from portal.core.pagination import Page
from portal.core.principal import Principal
from portal.core.rates import RouteClass
from portal.features.files.grant_rows import Grant
from portal.features.files.http.deps import FilesDep, GlassBody, GrantBody, GrantListing, Paged
from portal.features.files.http.openapi import CHANGE, JSON, READ
from portal.features.files.http.schemas import (
    BreakGlassCreated,
    GrantOut,
    GrantPage,
)
from portal.features.files.rights.grants import GrantRefused
from portal.features.identity.account_names import AccountNames
from portal.features.identity.deps import (
    AccountNamesDep,
    Administers,
    ChangesFiles,
    ReadsFiles,
    RequestOrigin,
    WithAccount,
)
from portal.features.identity.recent_sign_in import FreshSignInRequired, require_fresh, require_fresh_for
from portal.web import routing
from portal.web.errors import documented
from portal.web.limits import rated
from portal.web.pages import Paging, paging

router = routing.router("files")


@router.post(
    "/files/{file_id:uuid}/break-glass",
    status_code=201,
    summary="Break glass to read a case's file",
    response_description="The time at which the access ends.",
    responses=documented(*JSON, *READ, errors.Forbidden, FreshSignInRequired),
)
@rated(RouteClass.CHANGE)
async def create_break_glass(
    file_id: UUID, principal: Administers, body: GlassBody, files: FilesDep, origin: RequestOrigin
) -> BreakGlassCreated:
    """Let an administrator download the file for 15 minutes. Needs a recent sign-in.

    The reason is written to the audit log and shown to the leads of the case.
    """
    require_fresh(principal)
    return BreakGlassCreated(expires_at=await files.break_glass.grant(principal, file_id, body.reason, origin))


@router.get(
    "/files/{file_id:uuid}/grants",
    summary="List a file's grants",
    response_description="The grants in force.",
    responses=documented(*READ, errors.Forbidden),
)
@rated(RouteClass.READ)
async def list_file_grants(
    file_id: UUID, principal: ReadsFiles, files: FilesDep, account_names: AccountNamesDep
) -> GrantPage:
    """Allowed for the file's owner, the leads of its case, administrators and auditors."""
    grants = await files.grants.list(principal, file_id)
    return GrantPage(items=await account_names.all_named(principal, [GrantOut.of(grant) for grant in grants]))


@router.post(
    "/files/{file_id:uuid}/grants",
    status_code=201,
    summary="Grant an account access to a file",
    response_description="The grant.",
    responses=documented(*JSON, *CHANGE, FreshSignInRequired, errors.Unprocessable, GrantRefused),
)
@rated(RouteClass.CHANGE)
async def create_grant(
    file_id: UUID,
    principal: WithAccount,
    body: GrantBody,
    files: FilesDep,
    account_names: AccountNamesDep,
    origin: RequestOrigin,
) -> GrantOut:
    """Let an account read the file's metadata and content until the grant expires. It may do nothing else.

    A second grant to the same account replaces the first. Needs a session; an API token is refused.
    """
    lasts = timedelta(hours=body.expires_in_hours)
    require_fresh_for(principal, lasts)
    grant = await files.grants.create(principal, file_id, body.user_name, lasts, origin)
    return await account_names.named(principal, GrantOut.of(grant))


@router.delete(
    "/files/{file_id:uuid}/grants/{user_id:uuid}",
    status_code=204,
    summary="Revoke a grant",
    response_description="The grant is revoked.",
    responses=documented(*CHANGE),
)
@rated(RouteClass.CHANGE)
async def revoke_grant(
    file_id: UUID, user_id: UUID, principal: ChangesFiles, files: FilesDep, origin: RequestOrigin
) -> Response:
    """Takes effect at once: a running download is aborted within a second. An account may also revoke its own grant."""
    await files.grants.revoke(principal, file_id, user_id, origin)
    return Response(status_code=204)


@router.get(
    "/cases/{case_id:uuid}/grants",
    summary="List the grants of a case",
    response_description="One page, newest first.",
    responses=documented(errors.InvalidInput, *READ, errors.Forbidden),
)
@rated(RouteClass.READ)
async def list_case_grants(
    request: Request,
    case_id: UUID,
    principal: ReadsFiles,
    files: FilesDep,
    account_names: AccountNamesDep,
    query: Paged,
) -> GrantPage:
    """The grants on all files of a case. Allowed for its leads, auditors and administrators."""
    listing = paging(request, query, principal.user_id)
    page = await files.grants.of_case(principal, case_id, listing.after, listing.query.limit)
    return await _results(principal, account_names, page, listing)


@router.get(
    "/grants",
    summary="List an account's grants",
    response_description="One page, newest first.",
    responses=documented(errors.InvalidInput, *READ),
)
@rated(RouteClass.READ)
async def list_grants(
    request: Request, principal: ReadsFiles, files: FilesDep, account_names: AccountNamesDep, query: GrantListing
) -> GrantPage:
    """The grants that the account received, or with `given=true` those that it created.

    Administrators and auditors may list the grants of another account.
    """
    listing = paging(request, query, principal.user_id)
    whose = listing.query.user_id or principal.user_id
    page = await files.grants.of_account(
        principal, whose, listing.after, listing.query.limit, given=listing.query.given
    )
    return await _results(principal, account_names, page, listing)


async def _results(
    principal: Principal, account_names: AccountNames, page: Page[Grant], listing: Paging[Any]
) -> GrantPage:
    items = await account_names.all_named(principal, [GrantOut.of(grant) for grant in page.items])
    return GrantPage(items=items, next_cursor=listing.cursor(page.next_after))
