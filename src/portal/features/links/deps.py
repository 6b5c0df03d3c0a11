"""The dependencies in the signatures of the link routes. `MayDownload` and `MayUpload` need a link session's token."""

from typing import Annotated
from uuid import UUID

from fastapi import Query, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, SecurityScopes

from portal.core.errors import InsufficientScope, NotSignedIn
from portal.core.principal import Permission
from portal.features.files.http.schemas import DetailsQuery
from portal.features.identity.deps import WithAccount, admitted, bearer, heard, json_of
from portal.features.links.schemas import DownloadLinkCreate, UploadLinkCreate
from portal.features.links.service import Links
from portal.features.links.shared_schemas import RedeemRequest, SharedQuery
from portal.features.links.views import LinkSession
from portal.web.pages import PageQuery, Paging, paginated
from portal.web.portal_state import of_portal, portal_of


async def _session(
    request: Request,
    asked: SecurityScopes,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Security(bearer)],
) -> LinkSession:
    late = Permission.LINK_DOWNLOAD in asked.scopes  # a download that began may continue
    session = await admitted(request, _held(request, credentials, late=late), _actor)
    heard(request, session.principal)
    if not session.principal.permissions.issuperset(asked.scopes):
        raise InsufficientScope
    return session


async def _held(request: Request, credentials: HTTPAuthorizationCredentials | None, *, late: bool) -> LinkSession:
    if credentials is None:
        raise NotSignedIn
    links: Links = portal_of(request).links
    return await links.sessions.session(credentials.credentials, late=late)


def _link(session: LinkSession) -> UUID:
    return session.link.id


def _actor(session: LinkSession) -> str:
    return session.principal.actor


LinksDep = Annotated[Links, of_portal("links")]
HoldsLink = Annotated[LinkSession, Security(_session)]
MayDownload = Annotated[LinkSession, Security(_session, scopes=[Permission.LINK_DOWNLOAD])]
MayUpload = Annotated[LinkSession, Security(_session, scopes=[Permission.LINK_UPLOAD])]
NewDownloadLink = Annotated[DownloadLinkCreate, json_of(DownloadLinkCreate, WithAccount)]
NewUploadLink = Annotated[UploadLinkCreate, json_of(UploadLinkCreate, WithAccount)]
Redeeming = Annotated[RedeemRequest, json_of(RedeemRequest)]
Listing = Annotated[Paging[PageQuery], paginated(PageQuery, WithAccount)]
Offered = Annotated[Paging[SharedQuery], paginated(SharedQuery, HoldsLink, _link)]
Said = Annotated[DetailsQuery, Query()]
