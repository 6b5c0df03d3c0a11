"""A leaver's inbox, over HTTP: an administrator gives it another owner."""

from uuid import UUID

from fastapi import APIRouter

from portal.core import errors
from portal.core.rates import RouteClass
from portal.features.files.http.deps import FilesDep, TransferBody
from portal.features.files.http.openapi import JSON, READ
from portal.features.files.http.schemas import TransferOut
from portal.features.files.inboxes import InboxInUse, TransferRefused
from portal.features.identity.deps import GivesAccounts, RequestOrigin
from portal.features.identity.recent_sign_in import FreshSignInRequired
from portal.web.errors import documented
from portal.web.limits import rated

router = APIRouter(tags=["administration"])


@router.post(
    "/users/{user_id:uuid}/transfer",
    summary="Transfer a leaver's inbox",
    response_description="How many files went.",
    responses=documented(*JSON, *READ, errors.Forbidden, FreshSignInRequired, InboxInUse, TransferRefused),
)
@rated(RouteClass.CHANGE)
async def transfer_inbox(
    user_id: UUID, body: TransferBody, principal: GivesAccounts, files: FilesDep, origin: RequestOrigin
) -> TransferOut:
    """Of an account that is disabled, or an auditor's: it cannot reach its inbox. Not to yourself. Grants end."""
    return TransferOut(files=await files.inboxes.transfer(principal, user_id, body.to, origin))
