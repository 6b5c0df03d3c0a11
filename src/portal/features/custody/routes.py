"""Shredding and receipts over HTTP, for administrators."""

from functools import partial
from typing import Annotated
from uuid import UUID

from fastapi import Query, Request

from portal.core import errors
from portal.core.errors import PortalError
from portal.core.principal import Permission, Principal
from portal.core.rates import RouteClass
from portal.features.admin.keys import KeyNeeded
from portal.features.authz import policy
from portal.features.authz.actions import Action
from portal.features.custody.approvals import ApprovalOutdated, ApprovalOver, OwnApproval
from portal.features.custody.schemas import (
    ApprovalOut,
    ApprovalPage,
    ShreddingOut,
    ShredOut,
    ShredRequest,
    SignedReceiptOut,
)
from portal.features.custody.service import Custody, NumberMismatch
from portal.features.custody.shredding import CaseStillOpen
from portal.features.identity.deps import ADMIN_ERRORS, RequestOrigin, caller, json_of
from portal.features.identity.recent_sign_in import FreshSignInRequired, require_fresh
from portal.web import routing
from portal.web.errors import BODY_ERRORS, documented
from portal.web.limits import rated
from portal.web.pages import PageQuery, paging
from portal.web.portal_state import of_portal

router = routing.router("receipts")

_JUDGED = partial(policy.require, action=Action.CASE_SHRED)
_ONE: list[type[PortalError]] = [*ADMIN_ERRORS, errors.NotFound]
_REFUSED: list[type[PortalError]] = [FreshSignInRequired, CaseStillOpen, policy.CaseShredded, NumberMismatch]
_DECIDES: list[type[PortalError]] = [ApprovalOver]
_NOT_NOW: list[type[PortalError]] = [CaseStillOpen, policy.CaseShredded, KeyNeeded]
SeesShreddings = Annotated[Principal, caller(Permission.ADMINISTER, checks=[_JUDGED])]
Shreds = Annotated[Principal, caller(Permission.ADMINISTER, checks=[_JUDGED, require_fresh])]
_Shred = Annotated[ShredRequest, json_of(ShredRequest)]
CustodyDep = Annotated[Custody, of_portal("custody")]


@router.post(
    "/admin/cases/{case_id:uuid}/shred",
    summary="Shred a case",
    response_description="The job that ends with the receipt, or the request for approval.",
    responses=documented(*BODY_ERRORS, *_ONE, *_REFUSED),
)
@rated(RouteClass.CHANGE)
async def shred_case(
    case_id: UUID, principal: Shreds, asked: _Shred, custody: CustodyDep, origin: RequestOrigin
) -> ShredOut:
    """Destroy the data keys of a closed or archived case now, then its files' keys, records and blobs. Nothing brings
    them back. Where `PORTAL_APPROVALS` asks for it, another administrator has to approve first.
    """
    return ShredOut.of(await custody.shred(principal, case_id, asked.case_number, origin))


@router.get(
    "/admin/cases/{case_id:uuid}/shredding",
    summary="Read the shredding of a case",
    response_description="Who asked, and the receipt once there is one.",
    responses=documented(*_ONE),
)
@rated(RouteClass.READ)
async def read_shredding(case_id: UUID, principal: SeesShreddings, custody: CustodyDep) -> ShreddingOut:
    """How far the shredding of a case is."""
    return ShreddingOut.of(await custody.shredding(principal, case_id))


@router.get(
    "/admin/receipts/{receipt_id:uuid}",
    summary="Read a receipt",
    response_description="The signed document.",
    responses=documented(*_ONE),
)
@rated(RouteClass.READ)
async def read_receipt(receipt_id: UUID, principal: SeesShreddings, custody: CustodyDep) -> SignedReceiptOut:
    """What was signed, exactly as it was. It can be verified without the portal."""
    return SignedReceiptOut.of(await custody.receipt(principal, receipt_id))


@router.get(
    "/admin/approvals",
    summary="List requests for approval",
    response_description="One page, newest first.",
    responses=documented(errors.InvalidInput, *ADMIN_ERRORS),
)
@rated(RouteClass.READ)
async def list_approvals(
    request: Request, principal: SeesShreddings, custody: CustodyDep, query: Annotated[PageQuery, Query()]
) -> ApprovalPage:
    """What a second administrator was asked to approve, and what became of it."""
    listing = paging(request, query, principal.user_id)
    page = await custody.approvals(principal, listing.after, listing.query.limit)
    return ApprovalPage(items=list(map(ApprovalOut.of, page.items)), next_cursor=listing.cursor(page.next_after))


@router.post(
    "/admin/approvals/{approval_id:uuid}/approve",
    summary="Approve a request",
    response_description="The request, approved. What it asked for is done.",
    responses=documented(*_ONE, *_DECIDES, FreshSignInRequired, OwnApproval, ApprovalOutdated, *_NOT_NOW),
)
@rated(RouteClass.CHANGE)
async def approve_request(
    approval_id: UUID, principal: Shreds, custody: CustodyDep, origin: RequestOrigin
) -> ApprovalOut:
    """Another administrator's request, never one's own: what it asks for is done with this approval, once."""
    return ApprovalOut.of(await custody.give(principal, approval_id, origin))


@router.post(
    "/admin/approvals/{approval_id:uuid}/refuse",
    summary="Refuse a request",
    response_description="The request, refused.",
    responses=documented(*_ONE, *_DECIDES),
)
@rated(RouteClass.CHANGE)
async def refuse_request(
    approval_id: UUID, principal: SeesShreddings, custody: CustodyDep, origin: RequestOrigin
) -> ApprovalOut:
    """Another administrator's request, or one's own to take it back."""
    return ApprovalOut.of(await custody.refuse(principal, approval_id, origin))
