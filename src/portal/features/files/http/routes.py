"""The routes of files: upload, list, read, change, delete, move, download."""

from functools import partial
from typing import Annotated
from uuid import UUID

from fastapi import Path, Request, Response

from portal.core import errors
from portal.core.rates import RouteClass
from portal.features.authz.tlp import TlpForbidsMove
from portal.features.files.blob_rows import FileMoved
from portal.features.files.catalog import Changes
from portal.features.files.file_names import checked_name
from portal.features.files.http.deps import (
    CanUpload,
    FilesDep,
    FormSaid,
    IdempotencyKey,
    Listing,
    MoveBody,
    Patch,
    Upload,
)
from portal.features.files.http.openapi import (
    CONTENT,
    CONTENT_HEADERS,
    DELIVERED,
    DOWNLOAD,
    FORM_BODY,
    JSON,
    LOCATED,
    RANGE,
    RAW_BODY,
    READ,
    TAGGED,
    UPLOAD,
    WRITE,
)
from portal.features.files.http.request_bodies import MultipartFile, RawFile
from portal.features.files.http.responses import download_response, head_response
from portal.features.files.http.schemas import (
    NAME,
    FileOut,
    FilePage,
)
from portal.features.identity.deps import (
    AccountNamesDep,
    ChangesFiles,
    Downloads,
    IfMatch,
    MovesFiles,
    ReadsFiles,
    RequestOrigin,
)
from portal.web import API, conditional_requests, routing
from portal.web.bodies import streams_body
from portal.web.errors import documented
from portal.web.limits import rated
from portal.web.pages import paging
from portal.web.streaming import DownloadResponse

router = routing.router("files")


@router.post(
    "/files",
    status_code=201,
    summary="Upload a file as a form",
    responses={**LOCATED, **documented(*UPLOAD)},
    openapi_extra=FORM_BODY,
)
@rated(RouteClass.UPLOAD)
@streams_body
async def upload_file(
    request: Request,
    query: FormSaid,
    principal: CanUpload,
    files: FilesDep,
    account_names: AccountNamesDep,
    origin: RequestOrigin,
    idempotency_key: IdempotencyKey = None,
) -> FileOut:
    """Upload one file as multipart/form-data in the part `file`. Other fields may come before or after it.

    Send `case_id` in the query, or in a field before the file.
    """
    limit_for = partial(files.intake.limit_for, principal)
    arrival = await MultipartFile.begin(request, limit_for, case_id=query.case_id)
    view = await files.intake.receive(principal, arrival, origin, idempotency_key=idempotency_key)
    return _created(await account_names.named(principal, FileOut.of(view)))  # type: ignore[return-value]  # a response of exactly that model


@router.put(
    "/upload/{filename:path}",
    status_code=201,
    summary="Upload a file as the body",
    responses={**LOCATED, **documented(*UPLOAD)},
    openapi_extra=RAW_BODY,
)
@rated(RouteClass.UPLOAD)
@streams_body
async def upload_raw(
    request: Request,
    filename: Annotated[str, Path(json_schema_extra=NAME)],  # noqa: ARG001  # documented here, read from the raw path
    query: Upload,
    principal: CanUpload,
    files: FilesDep,
    account_names: AccountNamesDep,
    origin: RequestOrigin,
    idempotency_key: IdempotencyKey = None,
) -> FileOut:
    """The body is the file: `curl -T disk.img …/upload/`. Each call creates a new file, also under an existing name."""
    arrival = RawFile(request, query, files.intake.limit_for(principal, query.case_id), query.case_id)
    view = await files.intake.receive(principal, arrival, origin, idempotency_key=idempotency_key)
    return _created(await account_names.named(principal, FileOut.of(view)))  # type: ignore[return-value]


@router.get(
    "/files",
    summary="List files",
    response_description="One page of files.",
    responses=documented(errors.InvalidInput, *READ),
)
@rated(RouteClass.READ)
async def list_files(
    request: Request, principal: ReadsFiles, files: FilesDep, account_names: AccountNamesDep, query: Listing
) -> FilePage:
    """The files of your inbox and of your cases, newest first. Auditors and administrators see all files.

    To poll for new files, send `order=available` and `available_from=` with the last `available_at` that you received.
    """
    listing = paging(request, query, principal.user_id)
    page = await files.catalog.list(principal, listing.query.filters(), listing.after, listing.query.limit)
    items = await account_names.all_named(principal, [FileOut.of(file) for file in page.items])
    return FilePage(items=items, next_cursor=listing.cursor(page.next_after))


@router.get("/files/{file_id:uuid}", summary="Read a file's metadata", responses={**TAGGED, **documented(*READ)})
@rated(RouteClass.READ)
async def read_file(
    file_id: UUID, principal: ReadsFiles, files: FilesDep, account_names: AccountNamesDep, response: Response
) -> FileOut:
    """Name, size, digest, status and so on. Send its ETag as If-Match to change or delete the file."""
    view = await files.catalog.get(principal, file_id)
    response.headers["ETag"] = conditional_requests.version_tag(view.version)
    return await account_names.named(principal, FileOut.of(view))


@router.patch(
    "/files/{file_id:uuid}",
    summary="Change a file's metadata",
    responses={**TAGGED, **documented(*JSON, *WRITE)},
)
@rated(RouteClass.CHANGE)
async def update_file(
    file_id: UUID,
    principal: ChangesFiles,
    patch: Patch,
    version: IfMatch,
    files: FilesDep,
    account_names: AccountNamesDep,
    origin: RequestOrigin,
    response: Response,
) -> FileOut:
    """Change the name, kind or description. The content of a file never changes."""
    name = None if patch.name is None else checked_name(patch.name)
    view = await files.catalog.update(principal, file_id, version, Changes(name, patch.kind, patch.description), origin)
    response.headers["ETag"] = conditional_requests.version_tag(view.version)
    return await account_names.named(principal, FileOut.of(view))


@router.delete(
    "/files/{file_id:uuid}",
    status_code=204,
    summary="Delete a file",
    response_description="The file is deleted.",
    responses=documented(*WRITE),
)
@rated(RouteClass.CHANGE)
async def delete_file(
    file_id: UUID, principal: ChangesFiles, version: IfMatch, files: FilesDep, origin: RequestOrigin
) -> Response:
    """Destroys the file's keys, then its content. This cannot be undone."""
    await files.catalog.delete(principal, file_id, version, origin)
    return Response(status_code=204)


@router.post(
    "/files/{file_id:uuid}/move",
    summary="Move a file to a case or inbox",
    responses={**TAGGED, **documented(*JSON, *WRITE, errors.IntegrityError, FileMoved, TlpForbidsMove)},
)
@rated(RouteClass.CHANGE)
async def move_file(
    file_id: UUID,
    principal: MovesFiles,
    body: MoveBody,
    version: IfMatch,
    files: FilesDep,
    account_names: AccountNamesDep,
    origin: RequestOrigin,
    response: Response,
) -> FileOut:
    """Allowed for the file's owner or a lead of its case, if they may also upload to the target.

    Only the owner can move a file into an inbox, and only into their own.
    """
    view = await files.mover.move(principal, file_id, version, body.case_id, origin)
    response.headers["ETag"] = conditional_requests.version_tag(view.version)
    return await account_names.named(principal, FileOut.of(view))


@router.get(
    "/files/{file_id:uuid}/content",
    status_code=200,
    summary="Download a file",
    response_class=DownloadResponse,
    responses={**DELIVERED, **documented(*DOWNLOAD, errors.RangeNotSatisfiable)},
    openapi_extra=RANGE,
)
@rated(RouteClass.DOWNLOAD)
async def download_file(
    request: Request, file_id: UUID, principal: Downloads, files: FilesDep, origin: RequestOrigin
) -> Response:
    """The whole file, or one range of it, always as an attachment.

    If the file is damaged, the response breaks off before its end.
    """
    return await download_response(request, files, principal, file_id, origin)


@router.head(
    "/files/{file_id:uuid}/content",
    response_class=Response,
    summary="Read the headers of a download",
    responses={
        200: {
            "description": "The headers of the whole download.",
            "headers": {name: {"required": True, "schema": {"type": "string"}} for name in CONTENT_HEADERS},
        },
        **documented(*CONTENT),
    },
)
@rated(RouteClass.DOWNLOAD)
async def head_file(file_id: UUID, principal: Downloads, files: FilesDep) -> Response:
    """The headers of a download of the whole file. No content is decrypted; no download is counted."""
    return head_response(await files.deliveries.describe(principal, file_id))


def _created(entry: FileOut) -> Response:
    headers = {"Location": f"{API}/files/{entry.id}", "ETag": conditional_requests.version_tag(entry.version)}
    return Response(entry.model_dump_json(), status_code=201, headers=headers, media_type="application/json")
