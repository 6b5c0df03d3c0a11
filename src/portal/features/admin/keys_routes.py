"""Keys over HTTP, for administrators."""

from typing import Annotated

from portal.core import errors
from portal.core.errors import PortalError
from portal.core.rates import RouteClass
from portal.features.admin.keys import Keys
from portal.features.admin.keys_schemas import KeysOut
from portal.features.identity.deps import Administers
from portal.features.identity.sessions import TotpEnrolmentRequired
from portal.web import routing
from portal.web.errors import documented
from portal.web.limits import rated
from portal.web.portal_state import of_portal

router = routing.router("administration")

_ALL: list[type[PortalError]] = [
    errors.NotSignedIn,
    errors.InsufficientScope,
    errors.Forbidden,
    TotpEnrolmentRequired,
    errors.Unavailable,
]

KeysDep = Annotated[Keys, of_portal("keys")]


@router.get(
    "/admin/keys",
    summary="Read the status of all keys",
    response_description="Every master key, and what it protects.",
    responses=documented(*_ALL),
)
@rated(RouteClass.READ)
async def read_keys(principal: Administers, keys: KeysDep) -> KeysOut:
    """How each master key is, and what becomes unreadable without it. It counts all files, and calls no provider."""
    return KeysOut.of(await keys.status(principal))
