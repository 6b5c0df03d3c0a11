"""The route that transfers the inbox of a former user: an administrator gives its files another owner."""

from uuid import UUID

from portal.core import errors
from portal.core.rates import RouteClass
from portal.features.files.http.deps import FilesDep, TransferBody
from portal.features.files.http.openapi import JSON, READ
from portal.features.files.http.schemas import TransferOut
from portal.features.files.inboxes import InboxInUse, TransferRefused
from portal.features.identity.deps import GivesAccounts, RequestOrigin
from portal.features.identity.recent_sign_in import FreshSignInRequired
from portal.web import routing
from portal.web.errors import documented
from portal.web.limits import rated

router = routing.router("administration")


@router.post(
    "/users/{user_id:uuid}/transfer",
    summary="Transfer an inbox to another account",
    response_description="The number of files transferred.",
    responses=documented(*JSON, *READ, errors.Forbidden, FreshSignInRequired, InboxInUse, TransferRefused),
)
@rated(RouteClass.CHANGE)
async def transfer_inbox(
    user_id: UUID, principal: GivesAccounts, body: TransferBody, files: FilesDep, origin: RequestOrigin
) -> TransferOut:
    """Give all files of an inbox to another account. Administrators only; needs a recent sign-in.

    The inbox must belong to a disabled account or to an auditor, since these cannot reach it. The new owner must not be
    the caller. Grants on the files are revoked.
    """
    return TransferOut(files=await files.inboxes.transfer(principal, user_id, body.to, origin))
