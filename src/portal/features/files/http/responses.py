"""Download responses: a file's content for an account, an API token or a link session.

Comes in: a request, a principal, a file's id. Leaves: the download response, or its headers alone (HEAD).
"""

from uuid import UUID

from fastapi import Request, Response

from portal.core.principal import Origin, Principal
from portal.core.ranges import NotModified
from portal.features.files.downloads.delivery import OnDownloadStarted
from portal.features.files.file_names import download_name
from portal.features.files.service import Files
from portal.features.files.views import FileView
from portal.web.conditional_requests import range_request
from portal.web.digests import repr_digest
from portal.web.streaming import OCTET_STREAM, DownloadResponse, attachment, prefetch_first

_CACHE = "no-store, private"


async def download_response(
    request: Request,
    files: Files,
    principal: Principal,
    file_id: UUID,
    origin: Origin,
    counted: OnDownloadStarted | None = None,
) -> Response:
    """The response: 200 with the whole file, 206 with the requested range, or 304. Raises what `Deliveries.start`
    raises.
    """
    try:
        delivery = await files.deliveries.start(principal, file_id, origin, range_request(request.headers), counted)
    except NotModified as unchanged:
        return Response(status_code=304, headers={"ETag": unchanged.tag, "Cache-Control": _CACHE})
    chunks = await prefetch_first(delivery.chunks)  # first: headers come from the row, once it has been verified
    extent = delivery.extent
    headers = _content_headers(delivery.file) | {"Content-Length": str(extent.length)}
    if extent.partial:
        headers["Content-Range"] = f"bytes {extent.start}-{extent.start + extent.length - 1}/{delivery.file.size}"
    return DownloadResponse(chunks, delivery.judge, status=206 if extent.partial else 200, headers=headers)


def head_response(view: FileView) -> Response:
    """The headers of the whole download."""
    headers = _content_headers(view) | {"Content-Length": str(view.size or 0)}
    return Response(status_code=200, headers=headers, media_type=OCTET_STREAM)


def _content_headers(view: FileView) -> dict[str, str]:
    name = download_name(view.name)
    return {
        "ETag": view.content_tag,
        "Repr-Digest": repr_digest(bytes.fromhex(view.sha256 or "")),
        "Content-Disposition": attachment(name, view.id.hex[-8:]),
        "Accept-Ranges": "bytes",
        "Cache-Control": _CACHE,
    }
