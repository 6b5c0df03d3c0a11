"""Links over HTTP, for callers who have received one: redeem it, list its files, download, upload.

The callers need no account.
"""

from typing import Annotated
from uuid import UUID

from fastapi import Path, Request, Response

from portal.core import errors
from portal.core.principal import Origin
from portal.core.rates import RouteClass
from portal.features.files.http.deps import EmptyQueryDep, FilesDep, IdempotencyKey
from portal.features.files.http.openapi import CONTENT_HEADERS, DELIVERED, RANGE, RAW_BODY
from portal.features.files.http.request_bodies import FORM_FIELDS, MultipartFile, RawFile
from portal.features.files.http.responses import download_response, head_response
from portal.features.files.http.schemas import NAME
from portal.features.files.service import Files
from portal.features.files.views import FileView
from portal.features.identity.deps import RequestOrigin
from portal.features.identity.throttle import TooManyAttempts
from portal.features.links.deps import HoldsLink, LinksDep, MayDownload, MayUpload, Offered, Redeeming, Said
from portal.features.links.downloads import NothingToResume
from portal.features.links.link_sessions import LinkRefused
from portal.features.links.openapi import CONTENT, DOWNLOAD, FORM_BODY, UPLOAD
from portal.features.links.shared_schemas import LinkTokenOut, ReceiptOut, SharedOut
from portal.features.links.uploads import UploadSlot
from portal.features.links.views import FileForLink, LinkUsedUp
from portal.web import API, routing
from portal.web.bodies import announced_length, streams_body
from portal.web.errors import BODY_ERRORS, documented
from portal.web.limits import rated
from portal.web.pages import paging
from portal.web.streaming import DownloadResponse

router = routing.router("shared")
UPLOADS = f"{API}/shared/upload/"


@router.post(
    "/links/redeem",
    summary="Redeem a link",
    response_description="A token for the shared routes.",
    responses=documented(*BODY_ERRORS, LinkRefused, TooManyAttempts, errors.Unprocessable, errors.Unavailable),
)
@rated(RouteClass.REDEEM)
async def redeem_link(body: Redeeming, links: LinksDep, origin: RequestOrigin, response: Response) -> LinkTokenOut:
    """Returns a token for the shared routes. It does not count as a use of the link. A link that is unknown, expired,
    used up or revoked gets the same response as a wrong password.
    """
    redeemed = await links.sessions.redeem(body.secret, body.password, origin)
    response.headers["Cache-Control"] = "no-store"
    return LinkTokenOut(token=redeemed.token, kind=redeemed.link.kind, expires_at=redeemed.expires_at)


@router.get(
    "/shared",
    summary="Read what a link offers",
    response_description="A message, what is left, and files to download.",
    responses=documented(errors.InvalidInput, errors.NotSignedIn, errors.Unavailable),
)
@rated(RouteClass.READ)
async def read_shared(
    request: Request, session: HoldsLink, links: LinksDep, query: Offered, response: Response
) -> SharedOut:
    """The files that the link offers. It does not count as a use. An upload link lists the uploads that were made with
    this token, without ids.
    """
    listing = paging(request, query, session.link.id)
    offer = await links.shared_access.offer(session, listing.after)
    response.headers["Cache-Control"] = "no-store, private"
    return SharedOut.of(session.link, offer, listing.cursor(offer.next_after))


@router.get(
    "/shared/files/{file_id:uuid}/content",
    status_code=200,
    summary="Download a file by a link",
    response_class=DownloadResponse,
    responses={
        **DELIVERED,
        **documented(*DOWNLOAD, LinkUsedUp, NothingToResume, errors.RangeNotSatisfiable),
    },
    openapi_extra=RANGE,
)
@rated(RouteClass.DOWNLOAD)
async def download_shared_file(
    request: Request, file_id: UUID, session: MayDownload, links: LinksDep, files: FilesDep, origin: RequestOrigin
) -> Response:
    """The whole file counts as one use of the link, or repeats an interrupted download. A range resumes a download."""
    await links.shared_access.require_offered(session, file_id)
    counted = links.shared_access.count_download(session)
    return await download_response(request, files, session.principal, file_id, origin, counted)


@router.head(
    "/shared/files/{file_id:uuid}/content",
    response_class=Response,
    summary="Read the headers of a download by a link",
    responses={
        200: {
            "description": "The headers of the whole download.",
            "headers": {name: {"required": True, "schema": {"type": "string"}} for name in CONTENT_HEADERS},
        },
        **documented(*CONTENT),
    },
)
@rated(RouteClass.DOWNLOAD)
async def head_shared_file(file_id: UUID, session: MayDownload, links: LinksDep, files: FilesDep) -> Response:
    """The headers of the whole download. It decrypts nothing, and does not count as a use."""
    await links.shared_access.require_offered(session, file_id)
    return head_response(await files.deliveries.describe(session.principal, file_id))


@router.post(
    "/shared/files",
    status_code=201,
    summary="Upload a file as a form by a link",
    response_description="A receipt.",
    responses=documented(*UPLOAD),
    openapi_extra=FORM_BODY,
)
@rated(RouteClass.UPLOAD)
@streams_body
async def upload_shared_file(
    request: Request,
    _: EmptyQueryDep,
    session: MayUpload,
    links: LinksDep,
    files: FilesDep,
    origin: RequestOrigin,
    idempotency_key: IdempotencyKey = None,
) -> ReceiptOut:
    """`multipart/form-data` with one `file`. The other fields may come before or after it. It overwrites no file."""
    limit = files.intake.limit_for(session.principal, session.link.case_id)
    async with links.shared_access.upload_slot(session, announced_length(request), limit, idempotency_key) as slot:
        arrival = FileForLink(
            await MultipartFile.begin(request, lambda _: slot.remaining_bytes, FORM_FIELDS - {"case_id"}), session.link
        )
        return ReceiptOut.of(await _taken_in(files, slot, arrival, origin))


@router.put(
    "/shared/upload/{filename:path}",
    status_code=201,
    summary="Upload a file as the body by a link",
    response_description="A receipt.",
    responses=documented(*UPLOAD),
    openapi_extra=RAW_BODY,
)
@rated(RouteClass.UPLOAD)
@streams_body
async def upload_shared_raw(
    request: Request,
    filename: Annotated[str, Path(json_schema_extra=NAME)],  # noqa: ARG001  # documented here, read from the raw path
    query: Said,
    session: MayUpload,
    links: LinksDep,
    files: FilesDep,
    origin: RequestOrigin,
    idempotency_key: IdempotencyKey = None,
) -> ReceiptOut:
    """The body is the file: `curl -T disk.img …/shared/upload/`. Each request creates a new file, whatever its name."""
    session.link.require_kind(query.kind)  # before the first byte, where it is known
    limit = files.intake.limit_for(session.principal, session.link.case_id)
    async with links.shared_access.upload_slot(session, announced_length(request), limit, idempotency_key) as slot:
        arrival = FileForLink(
            RawFile(request, query, slot.remaining_bytes, session.link.case_id, below=UPLOADS), session.link
        )
        return ReceiptOut.of(await _taken_in(files, slot, arrival, origin))


async def _taken_in(files: Files, slot: UploadSlot, arrival: FileForLink, origin: Origin) -> FileView:
    principal = slot.session.principal
    return await files.intake.receive(principal, arrival, origin, idempotency_key=slot.key, counted=slot.counted)
