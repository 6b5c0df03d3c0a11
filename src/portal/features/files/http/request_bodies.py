"""Request bodies of uploads: the file as the raw body, or as one part of a form. Both are a `views.IncomingFile`.

Comes in: a request. Leaves: the file's bytes as they arrive, and its metadata as the client states it. The file is
never buffered as a whole.
"""

import re
from collections.abc import AsyncIterator, Callable
from typing import Self
from urllib.parse import unquote_to_bytes
from uuid import UUID

from fastapi import Request

from portal.core.buffer import Buffer
from portal.core.errors import InvalidInput
from portal.features.files.file_names import checked_name
from portal.features.files.http.schemas import MAX_DESCRIPTION, DetailsQuery
from portal.features.files.models import FileKind
from portal.features.files.views import Details
from portal.web import API
from portal.web.bodies import announced_length, body_chunks, refuse_announced
from portal.web.digests import announced_digest, refuse_digests
from portal.web.errors import UnsupportedMediaType, ValidationFailed
from portal.web.fields import printable
from portal.web.multipart import MultipartForm

FORM_FIELDS = frozenset({"case_id", "description", "kind", "sha256"})
_OF_CLIENTS = frozenset({"_charset_", "name", "relativePath", "type"})  # browsers and Uppy send them unasked
UPLOADS = f"{API}/upload/"
_FORM_ROOM = 1 << 20  # bytes a form may have beyond its file
_MAX_TYPE = 200
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_HEX_DIGEST = re.compile(r"[0-9a-fA-F]{64}")


class RawFile:
    """An upload whose body is the file itself (`curl -T`)."""

    def __init__(
        self, request: Request, query: DetailsQuery, limit: int, case_id: UUID | None, *, below: str = UPLOADS
    ) -> None:
        """Check the headers. The file name is the rest of the path after the prefix `below`. `limit` is in bytes.

        Raises InvalidInput, UnsupportedMediaType; TooLarge if the announced length is over `limit`.
        """
        refuse_announced(request, limit)
        if "content-range" in request.headers:
            raise InvalidInput("A part of a file is not a file (RFC 9110 §14.5).")
        if request.headers.get("content-encoding", "identity").lower() != "identity":
            raise UnsupportedMediaType("The body is the file itself: send it without a content coding.")
        self.declared_type = _declared(request.headers.get("content-type"))
        if _is_form(self.declared_type):
            raise UnsupportedMediaType("A form is not the file itself: send it as POST /files, or the file alone.")
        self._request, self._limit = request, limit
        self.content_length = announced_length(request)
        self.case_id = case_id
        self._details = Details(query.kind, query.description, announced_digest(request.headers.items()))
        self.name = checked_name(_name_in_path(request, below.encode()))

    def chunks(self) -> AsyncIterator[Buffer]:
        return body_chunks(self._request, self._limit)

    async def details(self) -> Details:
        return self._details


class MultipartFile:
    """An upload whose file is one part of a multipart/form-data body. Fields may come before or after the file.

    The exception is `case_id`: it selects the encryption keys, so it must be in the query, or in a field before the
    file.
    """

    def __init__(self, form: MultipartForm, case_id: UUID | None, content_length: int | None) -> None:
        self._form, self.case_id, self.content_length = form, case_id, content_length
        self.name = checked_name(form.filename)
        self.declared_type = _declared(form.headers.get("content-type"))
        self._digest = announced_digest(form.headers.items())

    @classmethod
    async def begin(
        cls,
        request: Request,
        limit_for: Callable[[UUID | None], int],
        fields: frozenset[str] = FORM_FIELDS,
        *,
        case_id: UUID | None = None,
    ) -> Self:
        """Read the form up to the first byte of the file. `case_id` is that of the query.

        `limit_for` returns the limit of a case or inbox in bytes. It is asked again if a field names the case; then
        the smaller limit holds. Raises InvalidInput, ValidationFailed, TooLarge, ClientGone.
        """
        limit = limit_for(case_id)
        refuse_announced(request, limit + _FORM_ROOM)
        refuse_digests(request.headers.items(), "say the file's in the form's field sha256")
        form = MultipartForm(
            request.headers.get("content-type", ""),
            body_chunks(request, limit + _FORM_ROOM),
            file_field="file",
            fields=fields,
            ignored=_OF_CLIENTS,
        )
        before = await form.open_file()
        _said(before, None)  # fields before the file are validated before its first byte is read
        target = case_id or _case(before)
        _require_same_case(before, target)
        refuse_announced(request, limit_for(target) + _FORM_ROOM)
        return cls(form, target, announced_length(request))

    def chunks(self) -> AsyncIterator[Buffer]:
        return self._form.chunks()

    async def details(self) -> Details:
        fields = await self._form.finish()
        _require_same_case(fields, self.case_id)
        return _said(fields, self._digest)


def _name_in_path(request: Request, below: bytes) -> str:
    # The router's own parameter would refuse %2F. HeadValidation has checked that the raw path is UTF-8.
    raw: bytes = request.scope["raw_path"]
    if not raw.startswith(below):
        raise InvalidInput("The path before the file name is written without escapes.")
    return unquote_to_bytes(raw.removeprefix(below)).decode("utf-8")


def _declared(content_type: str | None) -> str | None:
    if not content_type:
        return None
    return "".join(c if c.isascii() and c.isprintable() else "?" for c in content_type)[:_MAX_TYPE]


def _is_form(content_type: str | None) -> bool:
    return (content_type or "").partition(";")[0].strip().lower() == "multipart/form-data"


def _said(fields: dict[str, str], part_digest: bytes | None) -> Details:
    """The details that the form's fields state. `part_digest` is the digest from the headers of the file's part.

    Raises InvalidInput, ValidationFailed.
    """
    if fields.get("_charset_", "").lower() not in {"", "utf-8"}:
        raise InvalidInput("The form says in its field _charset_ that it is not UTF-8.")
    digest = _digest(fields)
    if digest and part_digest and digest != part_digest:
        raise InvalidInput("The form announces two different SHA-256 digests.")
    return Details(_kind(fields), _description(fields), digest or part_digest)


def _require_same_case(fields: dict[str, str], case_id: UUID | None) -> None:
    """Raises InvalidInput if the fields name a case after the file has begun, or another case than `case_id`."""
    if (said := _case(fields)) is not None and said != case_id:
        raise InvalidInput("The case belongs into the query (?case_id=…), or into a field case_id before the file.")


def _kind(fields: dict[str, str]) -> FileKind:
    try:
        return FileKind(fields.get("kind") or FileKind.OTHER)
    except ValueError:
        raise ValidationFailed.of("form", "kind", f"write one of: {', '.join(FileKind)}") from None


def _case(fields: dict[str, str]) -> UUID | None:
    text = fields.get("case_id", "")
    if text and not _UUID.fullmatch(text):
        raise ValidationFailed.of("form", "case_id", "is not an id: write a UUID, as answers have it")
    return UUID(text) if text else None


def _description(fields: dict[str, str]) -> str:
    text = fields.get("description", "").replace("\r\n", "\n")  # forms break lines with CRLF
    if len(text) > MAX_DESCRIPTION:
        raise ValidationFailed.of("form", "description", f"has at most {MAX_DESCRIPTION} characters")
    try:
        return printable(text)
    except ValueError as error:
        raise ValidationFailed.of("form", "description", str(error)) from None


def _digest(fields: dict[str, str]) -> bytes | None:
    text = fields.get("sha256", "").strip()
    if text and not _HEX_DIGEST.fullmatch(text):
        raise ValidationFailed.of("form", "sha256", "write 64 hex digits")
    return bytes.fromhex(text) if text else None
