"""The dependencies in the signatures of the link routes. `MayDownload` and `MayUpload` need a link session's token."""

from typing import Annotated, Any

from fastapi import Depends, Query, Request

from portal.core.errors import InsufficientScope, NotSignedIn
from portal.core.principal import Permission
from portal.features.files.http.schemas import DetailsQuery
from portal.features.identity.deps import admitted, bearer, bearer_token, heard, json_of
from portal.features.links.schemas import DownloadLinkCreate, UploadLinkCreate
from portal.features.links.service import Links
from portal.features.links.shared_schemas import RedeemRequest, SharedQuery
from portal.features.links.views import LinkSession
from portal.web.pages import PageQuery
from portal.web.portal_state import of_portal, portal_of
from portal.web.routing import Asked, asks_for


def _caller(*permissions: Permission) -> Any:
    """The dependency of a route on its caller, whose link session has these permissions."""
    late = Permission.LINK_DOWNLOAD in permissions  # a download that began may continue

    @asks_for(Asked((bearer,), permissions))
    async def resolved(request: Request) -> LinkSession:
        session = await admitted(request, _held(request, late=late), _actor)
        heard(request, session.principal)
        if not session.principal.permissions.issuperset(permissions):
            raise InsufficientScope
        return session

    return Depends(resolved)


async def _held(request: Request, *, late: bool) -> LinkSession:
    token = bearer_token(request)
    if not token:
        raise NotSignedIn
    links: Links = portal_of(request).links
    return await links.sessions.session(token, late=late)


def _actor(session: LinkSession) -> str:
    return session.principal.actor


LinksDep = Annotated[Links, of_portal("links")]
HoldsLink = Annotated[LinkSession, _caller()]
MayDownload = Annotated[LinkSession, _caller(Permission.LINK_DOWNLOAD)]
MayUpload = Annotated[LinkSession, _caller(Permission.LINK_UPLOAD)]
NewDownloadLink = Annotated[DownloadLinkCreate, json_of(DownloadLinkCreate)]
NewUploadLink = Annotated[UploadLinkCreate, json_of(UploadLinkCreate)]
Redeeming = Annotated[RedeemRequest, json_of(RedeemRequest)]
Listing = Annotated[PageQuery, Query()]
Offered = Annotated[SharedQuery, Query()]
Said = Annotated[DetailsQuery, Query()]
