"""multipart/form-data (RFC 7578) with one file, as a stream: nothing is spooled.

Comes in: a content type and chunks of the body. Leaves: the file's name and headers, its bytes as they arrive, and the
text fields before and after it. A body that is not exactly such a form raises InvalidInput.
"""

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from portal.core.buffer import Buffer
from portal.core.errors import InvalidInput
from portal.web import disposition
from portal.web.parts import Parts

MAX_FIELD_BYTES = 64 << 10
_MAX_BOUNDARY = 70  # RFC 2046 §5.1.1
_OPTION = r';[ \t]*(?:([^\s;="]+)=(?:"([^"\\]*)"|([^\s;"]*))[ \t]*)?'
_TYPE = re.compile(rf"\s*multipart/form-data[ \t]*((?:{_OPTION})+)", re.IGNORECASE)
_FIELD_NAME = re.compile(r"[A-Za-z0-9_.-]{1,40}", re.ASCII)
_AS_IT_IS = {  # part headers that declare an encoding, and their values that mean "not encoded"
    b"content-transfer-encoding": (b"binary", b"8bit", b"7bit"),
    b"content-encoding": (b"identity",),
}


@dataclass(frozen=True, slots=True)
class _Part:
    headers: Mapping[bytes, bytes]
    name: str
    filename: str | None


class MultipartForm:
    """One form with text fields and one file. Call `open_file`, read `chunks` to the end, then call `finish`."""

    def __init__(
        self,
        content_type: str,
        body: AsyncIterator[Buffer],
        *,
        file_field: str,
        fields: frozenset[str],
        ignored: frozenset[str] = frozenset(),
    ) -> None:
        """`file_field` is the file's field, `fields` are the text fields; `ignored` fields are accepted and dropped.

        Raises InvalidInput unless `content_type` is multipart/form-data with a boundary.
        """
        self._parts = Parts(_boundary(content_type), body)
        self._file_field, self._known, self._ignored = file_field, fields, ignored
        self._fields: dict[str, str] = {}
        self.filename = ""
        self.headers: dict[str, str] = {}  # of the file's part

    async def open_file(self) -> dict[str, str]:
        """Read up to the file's first byte; returns the text fields before the file.

        Sets `filename` and `headers`. Raises InvalidInput if the form has no file in `file_field`.
        """
        while (part := await self._next_part()) is not None:
            if part.name == self._file_field and part.filename is not None:
                self.filename = part.filename
                self.headers = {name.decode("latin-1"): text.decode("latin-1") for name, text in part.headers.items()}
                return dict(self._fields)
            await self._take_field(part)
        raise InvalidInput(f"The form has no file in a field named {self._file_field!r}.")

    async def chunks(self) -> AsyncIterator[Buffer]:
        """The file's bytes as they arrive: each chunk is valid until the next. Raises InvalidInput if the form ends
        inside the file.
        """
        while (chunk := await self._parts.read()) is not None:
            yield chunk

    async def finish(self) -> dict[str, str]:
        """Read the rest of the form; returns every text field. Raises InvalidInput for a second file."""
        while (part := await self._next_part()) is not None:
            await self._take_field(part)
        return self._fields

    async def _take_field(self, part: _Part) -> None:
        self._refuse_unknown(part)
        value = bytearray()
        while (piece := await self._parts.read()) is not None:
            if len(value) + len(piece) > MAX_FIELD_BYTES:
                raise InvalidInput(f"A field of the form has more than {MAX_FIELD_BYTES} bytes.")
            value += piece
        self._fields[part.name] = disposition.text(bytes(value))

    def _refuse_unknown(self, part: _Part) -> None:
        named = f"field {part.name}" if _FIELD_NAME.fullmatch(part.name) else "field of an odd name"
        if part.name == self._file_field:
            raise InvalidInput(
                f"The {named} has no file name: send a file, not text."
                if part.filename is None
                else f"The form has a second file: {named} is for one."
            )
        if part.filename is not None:
            raise InvalidInput(f"The form has a file in a {named}: it belongs into {self._file_field!r}.")
        if part.name not in self._known | self._ignored:
            raise InvalidInput(f"The form has a {named}, which is unknown: {', '.join(sorted(self._known))}.")
        if part.name in self._fields:
            raise InvalidInput(f"The form has the {named} twice.")

    async def _next_part(self) -> _Part | None:
        headers = await self._parts.next()
        return None if headers is None else _part(headers)


def _part(headers: Mapping[bytes, bytes]) -> _Part:
    said = disposition.read(headers.get(b"content-disposition", b""))
    for header, plain in _AS_IT_IS.items():
        if headers.get(header, plain[0]).strip().lower() not in plain:
            raise InvalidInput(f"A part of the form is encoded ({header.decode()}): send its bytes as they are.")
    return _Part(headers, said.name, said.filename)


def _boundary(content_type: str) -> bytes:
    options = _TYPE.fullmatch(content_type)
    found: list[str] = [
        quoted or plain
        for name, quoted, plain in re.findall(_OPTION, options[1] if options else "")
        if name.lower() == "boundary"
    ]
    if len(found) != 1 or not 0 < len(found[0]) <= _MAX_BOUNDARY:
        raise InvalidInput("The body must be multipart/form-data with a boundary.")
    return found[0].encode("latin-1")
