"""A file's content as an answer, for whoever was let in by whichever door.

Comes in: a request, a principal, a file's id. Leaves: the download response, or the headers that it would have.
"""

from uuid import UUID

from fastapi import Request, Response

from portal.core.principal import Origin, Principal
from portal.features.files.delivery import Counted, Extent
from portal.features.files.names import download_name
from portal.features.files.service import Files
from portal.features.files.views import FileView
from portal.web import conditions
from portal.web.digests import repr_digest
from portal.web.streaming import OCTET_STREAM, DownloadResponse, attachment, primed


async def delivered(
    request: Request,
    files: Files,
    principal: Principal,
    file_id: UUID,
    origin: Origin,
    counted: Counted | None = None,
) -> Response:
    """The whole file, or the range that the request asks for. Raises what `Deliveries.start` raises."""
    partial = False

    def choose(file: FileView) -> Extent:
        nonlocal partial
        size, tag = file.size or 0, conditions.content_tag(file.sha256 or "")
        wanted = conditions.wanted_range(request.headers.get("range"), request.headers.get("if-range"), tag, size)
        partial = wanted is not None
        return Extent(*(wanted or (0, size)))

    delivery = await files.deliveries.start(principal, file_id, origin, choose, counted)
    chunks = await primed(delivery.chunks)  # first: what its row says is told only after it was verified
    headers = _content_headers(delivery.file) | {"Content-Length": str(delivery.extent.length)}
    if partial:
        start, length = delivery.extent.start, delivery.extent.length
        headers["Content-Range"] = f"bytes {start}-{start + length - 1}/{delivery.file.size}"
    return DownloadResponse(chunks, status=206 if partial else 200, headers=headers)


def described(view: FileView) -> Response:
    """The headers of the whole download."""
    headers = _content_headers(view) | {"Content-Length": str(view.size or 0)}
    return Response(status_code=200, headers=headers, media_type=OCTET_STREAM)


def _content_headers(view: FileView) -> dict[str, str]:
    name = download_name(view.name)
    return {
        "ETag": conditions.content_tag(view.sha256 or ""),
        "Repr-Digest": repr_digest(bytes.fromhex(view.sha256 or "")),
        "Content-Disposition": attachment(name, view.id.hex[-8:]),
        "Accept-Ranges": "bytes",
        "Cache-Control": "no-store, private",
        "Content-Security-Policy": "default-src 'none'; sandbox",
    }
