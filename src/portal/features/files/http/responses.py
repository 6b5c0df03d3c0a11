"""A file's content as an answer, for whoever was let in by whichever door.

Comes in: a request, a principal, a file's id. Leaves: the download response, or the headers that it would have.
"""

from uuid import UUID

from fastapi import Request, Response
from starlette.datastructures import Headers

from portal.core.principal import Origin, Principal
from portal.features.files.downloads.delivery import ByteRange, OnDownloadStarted
from portal.features.files.file_names import download_name
from portal.features.files.service import Files
from portal.features.files.views import FileView
from portal.web import conditional_requests
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
    """The whole file, the range that the request asks for, or a 304. Raises what `Deliveries.start` raises."""
    wanted = _Wanted(request.headers)
    try:
        delivery = await files.deliveries.start(principal, file_id, origin, wanted.choose, counted)
    except conditional_requests.NotModified:
        return Response(status_code=304, headers={"ETag": wanted.tag, "Cache-Control": _CACHE})
    chunks = await prefetch_first(delivery.chunks)  # first: what its row says is told only after it was verified
    headers = _content_headers(delivery.file) | {"Content-Length": str(delivery.extent.length)}
    if wanted.partial:
        start, length = delivery.extent.start, delivery.extent.length
        headers["Content-Range"] = f"bytes {start}-{start + length - 1}/{delivery.file.size}"
    return DownloadResponse(chunks, status=206 if wanted.partial else 200, headers=headers)


class _Wanted:
    """What the headers of a download ask for, once it is known of which bytes."""

    def __init__(self, headers: Headers) -> None:
        self._headers = headers
        self.tag, self.partial = "", False

    def choose(self, file: FileView) -> ByteRange:
        """Raises NotModified, PreconditionFailed, RangeNotSatisfiable."""
        size, self.tag = file.size or 0, conditional_requests.content_tag(file.sha256 or "")
        conditional_requests.judge(self._headers, self.tag)
        wanted = conditional_requests.wanted_range(
            self._headers.get("range"), self._headers.get("if-range"), self.tag, size
        )
        self.partial = wanted is not None
        return ByteRange(*(wanted or (0, size)))


def head_response(view: FileView) -> Response:
    """The headers of the whole download."""
    headers = _content_headers(view) | {"Content-Length": str(view.size or 0)}
    return Response(status_code=200, headers=headers, media_type=OCTET_STREAM)


def _content_headers(view: FileView) -> dict[str, str]:
    name = download_name(view.name)
    return {
        "ETag": conditional_requests.content_tag(view.sha256 or ""),
        "Repr-Digest": repr_digest(bytes.fromhex(view.sha256 or "")),
        "Content-Disposition": attachment(name, view.id.hex[-8:]),
        "Accept-Ranges": "bytes",
        "Cache-Control": _CACHE,
    }
