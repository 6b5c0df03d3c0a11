"""What the link routes ask for in their signatures: `MayDownload` and `MayUpload` mean a link's own token."""

from typing import Annotated

from fastapi import Depends, Query, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, SecurityScopes

from portal.core.errors import InsufficientScope, NotSignedIn
from portal.core.principal import Permission
from portal.features.files.http.schemas import DetailsQuery
from portal.features.identity.deps import WithAccount, admitted, bearer, heard, json_of
from portal.features.links.schemas import DownloadLinkCreate, UploadLinkCreate
from portal.features.links.service import Links
from portal.features.links.shared_schemas import RedeemRequest, SharedQuery
from portal.features.links.views import LinkSession
from portal.web.pages import PageQuery


async def _links(request: Request) -> Links:
    links: Links = request.app.state.links
    return links


async def _session(
    request: Request,
    asked: SecurityScopes,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Security(bearer)],
) -> LinkSession:
    late = Permission.LINK_DOWNLOAD in asked.scopes  # what began may go on
    session = await admitted(request, _held(request, credentials, late=late), _actor)
    heard(request, session.principal)
    if not session.principal.permissions.issuperset(asked.scopes):
        raise InsufficientScope
    return session


async def _held(request: Request, credentials: HTTPAuthorizationCredentials | None, *, late: bool) -> LinkSession:
    if credentials is None:
        raise NotSignedIn
    return await (await _links(request)).sessions.session(credentials.credentials, late=late)


def _actor(session: LinkSession) -> str:
    return session.principal.actor


LinksDep = Annotated[Links, Depends(_links)]
HoldsLink = Annotated[LinkSession, Security(_session)]
MayDownload = Annotated[LinkSession, Security(_session, scopes=[Permission.LINK_DOWNLOAD])]
MayUpload = Annotated[LinkSession, Security(_session, scopes=[Permission.LINK_UPLOAD])]
NewDownloadLink = Annotated[DownloadLinkCreate, json_of(DownloadLinkCreate, WithAccount)]
NewUploadLink = Annotated[UploadLinkCreate, json_of(UploadLinkCreate, WithAccount)]
Redeeming = Annotated[RedeemRequest, json_of(RedeemRequest)]
Listing = Annotated[PageQuery, Query()]
Offered = Annotated[SharedQuery, Query()]
Said = Annotated[DetailsQuery, Query()]
