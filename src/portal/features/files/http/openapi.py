"""The parts of the OpenAPI document that the signatures of the files routes do not show: bodies, headers, errors."""

from typing import Any

from portal.core import errors
from portal.core.errors import PortalError
from portal.features.authz.policy import CaseReadOnly
from portal.features.files.access import Quarantined
from portal.features.files.blob_rows import FileMoved
from portal.features.files.http.schemas import MAX_DESCRIPTION
from portal.features.files.transfers import TooManyTransfers, WorkerBusy
from portal.features.files.uploads.attempt import DigestMismatch, KeyReused, UploadGone
from portal.features.files.uploads.decision import ContentRejected
from portal.features.files.uploads.intake import InFlight
from portal.features.files.uploads.lease import UploadLost
from portal.web.docs_pages import BINARY
from portal.web.errors import TooSlow, UnsupportedMediaType
from portal.web.streaming import OCTET_STREAM

READ: list[type[PortalError]] = [errors.NotSignedIn, errors.InsufficientScope, errors.NotFound, errors.Unavailable]
CHANGE: list[type[PortalError]] = [*READ, errors.Forbidden, CaseReadOnly]
WRITE: list[type[PortalError]] = [*CHANGE, errors.PreconditionFailed, errors.PreconditionRequired]
JSON: list[type[PortalError]] = [errors.InvalidInput, UnsupportedMediaType, TooSlow, errors.TooLarge]
CONTENT: list[type[PortalError]] = [*READ, errors.Forbidden, Quarantined, errors.IntegrityError, FileMoved]
CONTENT += [errors.PreconditionFailed]
DOWNLOAD: list[type[PortalError]] = [*CONTENT, TooManyTransfers, WorkerBusy]
UPLOAD: list[type[PortalError]] = [
    errors.InvalidInput,
    UnsupportedMediaType,
    DigestMismatch,
    errors.NotSignedIn,
    errors.InsufficientScope,
    errors.Forbidden,
    errors.NotFound,
    TooSlow,
    InFlight,
    UploadGone,
    CaseReadOnly,
    errors.TooLarge,
    errors.Unprocessable,
    ContentRejected,
    KeyReused,
    errors.Unavailable,
    UploadLost,
    WorkerBusy,
    TooManyTransfers,
    errors.StorageFull,
]
FORM_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": BINARY,
                        "description": {"type": "string", "default": "", "maxLength": MAX_DESCRIPTION},
                        "kind": {"$ref": "#/components/schemas/FileKind", "default": "other"},
                        "sha256": {
                            "type": "string",
                            "default": "",
                            "pattern": "^([0-9a-fA-F]{64})?$",
                            "description": "SHA-256 of the file, 64 hex digits. A mismatch is refused.",
                        },
                    },
                },
                "encoding": {"file": {"contentType": OCTET_STREAM}},
            }
        },
    }
}
REPR_DIGEST = {
    "name": "Repr-Digest",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "maxLength": 1000},
    "description": "SHA-256 of the file as `sha-256=:<base64>:` (RFC 9530). A mismatch is refused.",
}
RAW_BODY: dict[str, Any] = {
    "parameters": [REPR_DIGEST],
    "requestBody": {"required": True, "content": {OCTET_STREAM: {"schema": BINARY}}},
}
TAGGED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The file's metadata.",
        "headers": {"ETag": {"required": True, "schema": {"type": "string"}, "description": "Send it as If-Match."}},
    }
}
_HEADER = {"type": "string", "maxLength": 200}
RANGE: dict[str, Any] = {
    "parameters": [
        {"name": "Range", "in": "header", "schema": _HEADER, "description": "`bytes=0-1023`: one range."},
        {"name": "If-Range", "in": "header", "schema": _HEADER},
        {"name": "If-Match", "in": "header", "schema": _HEADER},
        {"name": "If-None-Match", "in": "header", "schema": _HEADER, "description": "304 if it matches."},
    ]
}
LOCATED: dict[int | str, dict[str, Any]] = {
    201: {
        "description": "The new file's metadata.",
        "headers": {name: {"required": True, "schema": {"type": "string"}} for name in ("Location", "ETag")},
    }
}
_TEXT = {"type": "string"}
CONTENT_HEADERS = ("ETag", "Repr-Digest", "Content-Disposition", "Content-Length", "Accept-Ranges")
DELIVERED: dict[int | str, dict[str, Any]] = {
    status: {
        "description": description,
        "content": {OCTET_STREAM: {"schema": BINARY}},
        "headers": {name: {"required": True, "schema": {"type": "string"}} for name in (*CONTENT_HEADERS, *more)},
    }
    for status, description, more in ((200, "The file.", ()), (206, "The range.", ("Content-Range",)))
}
DELIVERED |= {304: {"description": "The client has these bytes already.", "headers": {"ETag": {"schema": _TEXT}}}}
