"""Who else may read one file, over HTTP: grants to accounts, and administrators who break glass."""

from datetime import timedelta
from uuid import UUID

from fastapi import APIRouter, Response

from portal.core import errors
from portal.features.files.deps import GlassBody, GrantBody, WithFiles
from portal.features.files.described import CHANGE, JSON, READ
from portal.features.files.granting import GrantRefused
from portal.features.files.schemas import BreakGlass, GlassBroken, GrantList, GrantNew, GrantOut
from portal.features.identity.deps import Administers, ChangesFiles, From, ReadsFiles, WithAccount
from portal.features.identity.fresh import FreshSignInRequired, require_fresh
from portal.web.documents import taken_as_json
from portal.web.errors import documented

router = APIRouter(tags=["files"])
BODIES = (BreakGlass, GrantNew)  # models that `deps` parse: FastAPI does not see them


@router.post(
    "/files/{file_id}/break-glass",
    status_code=201,
    summary="Read a case's file as administrator",
    response_description="The right to download it, for a while.",
    responses=documented(*JSON, *READ, errors.Forbidden, FreshSignInRequired),
    openapi_extra=taken_as_json(BreakGlass),
)
async def break_glass(
    file_id: UUID, body: GlassBody, principal: Administers, files: WithFiles, origin: From
) -> GlassBroken:
    """For fifteen minutes; asks for a fresh sign-in. The reason is on record, and shown to the case's leads."""
    require_fresh(principal)
    return GlassBroken(expires_at=await files.glass.smash(principal, file_id, body.reason, origin))


@router.get(
    "/files/{file_id}/grants",
    summary="List who else may read a file",
    response_description="Those in force.",
    responses=documented(*READ, errors.Forbidden),
)
async def list_grants(file_id: UUID, principal: ReadsFiles, files: WithFiles) -> GrantList:
    """For the file's owner, or the leads of its case; administrators and auditors see them too."""
    return GrantList(items=[GrantOut.of(grant) for grant in await files.grants.list(principal, file_id)])


@router.post(
    "/files/{file_id}/grants",
    status_code=201,
    summary="Let an account read a file",
    response_description="The grant.",
    responses=documented(*JSON, *CHANGE, errors.Unprocessable, GrantRefused),
    openapi_extra=taken_as_json(GrantNew),
)
async def give_grant(
    file_id: UUID, body: GrantBody, principal: WithAccount, files: WithFiles, origin: From
) -> GrantOut:
    """Entry and content, nothing else, until it ends; given again it lasts anew. By a sign-in alone, no API token."""
    lasts = timedelta(hours=body.expires_in_hours)
    return GrantOut.of(await files.grants.give(principal, file_id, body.name, lasts, origin))


@router.delete(
    "/files/{file_id}/grants/{user_id}",
    status_code=204,
    summary="Take a grant back",
    response_description="The account may not read the file any more.",
    responses=documented(*CHANGE),
)
async def revoke_grant(
    file_id: UUID, user_id: UUID, principal: ChangesFiles, files: WithFiles, origin: From
) -> Response:
    """At once: a download that is running breaks off within a second. An account may decline its own."""
    await files.grants.take_back(principal, file_id, user_id, origin)
    return Response(status_code=204)
