"""Cases over HTTP: open, list, read, update, delete; their members; their break-glass accesses."""

from typing import Any
from uuid import UUID

from fastapi import Request, Response

from portal.core import errors
from portal.core.errors import PortalError
from portal.core.rates import RouteClass
from portal.features.authz.policy import CaseReadOnly
from portal.features.cases.catalog import CaseChanges, CaseNotEmpty, NewCase, StatusRefused
from portal.features.cases.deps import CasesDep, ChangeBody, GlassListing, Listing, MemberBody, NewCaseBody, PatchBody
from portal.features.cases.members import AlreadyMember, LastLead, MemberRefused
from portal.features.cases.schemas import (
    BreakGlassOut,
    BreakGlassPage,
    CaseOut,
    CasePage,
    MemberOut,
    MemberPage,
)
from portal.features.identity.deps import AccountNamesDep, Administers, ChangesCases, IfMatch, ReadsCases, RequestOrigin
from portal.web import API, conditional_requests, routing
from portal.web.errors import TooSlow, UnsupportedMediaType, documented
from portal.web.limits import rated
from portal.web.pages import paging

router = routing.router("cases")

_Errors = list[type[PortalError]]
_BODY: _Errors = [errors.InvalidInput, UnsupportedMediaType, TooSlow, errors.TooLarge, errors.Unprocessable]
_LISTED: _Errors = [errors.NotSignedIn, errors.InsufficientScope, errors.Unavailable]
_READ: _Errors = [*_LISTED, errors.NotFound]
_CHANGE: _Errors = [*_READ, errors.Forbidden, CaseReadOnly]
_VERSIONED: _Errors = [*_CHANGE, errors.PreconditionFailed, errors.PreconditionRequired]
_TAG: dict[str, Any] = {"ETag": {"required": True, "schema": {"type": "string"}, "description": "For If-Match."}}
_LOCATION: dict[str, Any] = {"Location": {"required": True, "schema": {"type": "string"}}}
_TAGGED: dict[int | str, dict[str, Any]] = {200: {"description": "The case's metadata.", "headers": _TAG}}
_OPENED: dict[int | str, dict[str, Any]] = {
    201: {"description": "The new case's metadata.", "headers": _TAG | _LOCATION}
}


@router.post(
    "/cases",
    status_code=201,
    summary="Create a case",
    responses={**_OPENED, **documented(*_BODY, *_LISTED, errors.Forbidden)},
)
@rated(RouteClass.CHANGE)
async def create_case(
    principal: ChangesCases,
    body: NewCaseBody,
    cases: CasesDep,
    account_names: AccountNamesDep,
    origin: RequestOrigin,
    response: Response,
) -> CaseOut:
    """The caller becomes the lead of the case. The portal assigns the case number."""
    new = NewCase(body.title, body.description, body.severity, body.tlp)
    case = await cases.register.open(principal, new, origin)
    response.headers["Location"] = f"{API}/cases/{case.id}"
    response.headers["ETag"] = conditional_requests.version_tag(case.version)
    return await account_names.named(principal, CaseOut.of(case))


@router.get(
    "/cases",
    summary="List cases",
    response_description="One page, newest first.",
    responses=documented(errors.InvalidInput, *_LISTED),
)
@rated(RouteClass.READ)
async def list_cases(
    request: Request, principal: ReadsCases, cases: CasesDep, account_names: AccountNamesDep, query: Listing
) -> CasePage:
    """The cases that you are a member of, newest first. Auditors and administrators see all."""
    listing = paging(request, query, principal.user_id)
    page = await cases.register.list(principal, listing.query.status, listing.after, listing.query.limit)
    items = await account_names.all_named(principal, [CaseOut.of(case) for case in page.items])
    return CasePage(items=items, next_cursor=listing.cursor(page.next_after))


@router.get("/cases/{case_id:uuid}", summary="Read a case's metadata", responses={**_TAGGED, **documented(*_READ)})
@rated(RouteClass.READ)
async def read_case(
    case_id: UUID, principal: ReadsCases, cases: CasesDep, account_names: AccountNamesDep, response: Response
) -> CaseOut:
    """Send the ETag as `If-Match` with a change."""
    case = await cases.register.get(principal, case_id)
    response.headers["ETag"] = conditional_requests.version_tag(case.version)
    return await account_names.named(principal, CaseOut.of(case))


@router.patch(
    "/cases/{case_id:uuid}",
    summary="Change a case's metadata",
    responses={**_TAGGED, **documented(*_BODY, *_VERSIONED, StatusRefused)},
)
@rated(RouteClass.CHANGE)
async def update_case(
    case_id: UUID,
    principal: ChangesCases,
    patch: PatchBody,
    version: IfMatch,
    cases: CasesDep,
    account_names: AccountNamesDep,
    origin: RequestOrigin,
    response: Response,
) -> CaseOut:
    """For leads of the case and administrators. A closed or archived case accepts a new status and no other change."""
    changes = CaseChanges(**patch.model_dump())
    case = await cases.register.update(principal, case_id, version, changes, origin)
    response.headers["ETag"] = conditional_requests.version_tag(case.version)
    return await account_names.named(principal, CaseOut.of(case))


@router.delete(
    "/cases/{case_id:uuid}",
    status_code=204,
    summary="Delete an empty case",
    response_description="The case is gone.",
    responses=documented(*_VERSIONED, CaseNotEmpty),
)
@rated(RouteClass.CHANGE)
async def delete_case(
    case_id: UUID, principal: ChangesCases, version: IfMatch, cases: CasesDep, origin: RequestOrigin
) -> Response:
    """Refused while a file is in the case, or is being uploaded to it."""
    await cases.register.delete(principal, case_id, version, origin)
    return Response(status_code=204)


@router.get(
    "/cases/{case_id:uuid}/members",
    summary="List a case's members",
    response_description="Everybody in it.",
    responses=documented(*_READ, errors.Forbidden),
)
@rated(RouteClass.READ)
async def list_members(
    case_id: UUID, principal: ReadsCases, cases: CasesDep, account_names: AccountNamesDep
) -> MemberPage:
    """The members of the case, in the order in which they were added."""
    members = await cases.members.list(principal, case_id)
    return MemberPage(items=await account_names.all_named(principal, [MemberOut.of(member) for member in members]))


@router.post(
    "/cases/{case_id:uuid}/members",
    status_code=201,
    summary="Add a member to a case",
    response_description="The new member.",
    responses=documented(*_BODY, *_CHANGE, MemberRefused, AlreadyMember),
)
@rated(RouteClass.CHANGE)
async def create_member(
    case_id: UUID,
    principal: ChangesCases,
    body: MemberBody,
    cases: CasesDep,
    account_names: AccountNamesDep,
    origin: RequestOrigin,
) -> MemberOut:
    """For leads of the case and administrators. A caller cannot add their own account."""
    member = await cases.members.add(principal, case_id, body.user_name, body.role, origin)
    return await account_names.named(principal, MemberOut.of(member))


@router.put(
    "/cases/{case_id:uuid}/members/{user_id:uuid}",
    summary="Change a member's role",
    response_description="The member.",
    responses=documented(*_BODY, *_CHANGE, MemberRefused, LastLead),
)
@rated(RouteClass.CHANGE)
async def update_member(
    case_id: UUID,
    user_id: UUID,
    principal: ChangesCases,
    body: ChangeBody,
    cases: CasesDep,
    account_names: AccountNamesDep,
    origin: RequestOrigin,
) -> MemberOut:
    """For leads of the case and administrators. A caller cannot change their own role."""
    member = await cases.members.set_role(principal, case_id, user_id, body.role, origin)
    return await account_names.named(principal, MemberOut.of(member))


@router.delete(
    "/cases/{case_id:uuid}/members/{user_id:uuid}",
    status_code=204,
    summary="Remove a member, or leave",
    response_description="They are a member no more.",
    responses=documented(*_CHANGE, LastLead),
)
@rated(RouteClass.CHANGE)
async def delete_member(
    case_id: UUID, user_id: UUID, principal: ChangesCases, cases: CasesDep, origin: RequestOrigin
) -> Response:
    """Removes a member, whose running downloads and uploads in the case end. The last lead cannot be removed."""
    await cases.members.remove(principal, case_id, user_id, origin)
    return Response(status_code=204)


@router.get(
    "/cases/{case_id:uuid}/break-glass",
    summary="List broken glass in a case",
    response_description="Newest first.",
    responses=documented(*_READ, errors.Forbidden),
)
@rated(RouteClass.READ)
async def list_case_break_glass(
    case_id: UUID, principal: ReadsCases, cases: CasesDep, account_names: AccountNamesDep
) -> BreakGlassPage:
    """The break-glass accesses to files of the case. For leads of the case, auditors and administrators."""
    glass = await cases.register.broken_glass(principal, case_id)
    return BreakGlassPage(items=await account_names.all_named(principal, [BreakGlassOut.of(entry) for entry in glass]))


@router.get(
    "/break-glass",
    summary="List broken glass across cases",
    response_description="One page, newest first.",
    responses=documented(errors.InvalidInput, *_LISTED, errors.Forbidden),
)
@rated(RouteClass.READ)
async def list_break_glass(
    request: Request, principal: Administers, cases: CasesDep, account_names: AccountNamesDep, query: GlassListing
) -> BreakGlassPage:
    """The break-glass accesses to files of all cases, deleted cases included. For auditors and administrators."""
    listing = paging(request, query, principal.user_id)
    page = await cases.register.all_broken_glass(principal, listing.query.case_id, listing.after, listing.query.limit)
    items = await account_names.all_named(principal, [BreakGlassOut.of(entry) for entry in page.items])
    return BreakGlassPage(items=items, next_cursor=listing.cursor(page.next_after))
