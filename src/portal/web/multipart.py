"""multipart/form-data (RFC 7578) with one file, as a stream: nothing is spooled. Only this module imports
`python_multipart`.

Comes in: a content type and chunks of the body. Leaves: the file's name and headers, its bytes as they arrive, and the
text fields before and after it. A body that is not exactly such a form raises InvalidInput.
"""

import re
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from portal.core.buffer import Buffer
from portal.core.errors import InvalidInput
from portal.web import disposition

MAX_FIELD_BYTES = 64 << 10
_MAX_BOUNDARY = 70  # RFC 2046 §5.1.1
_BREAKS = b"\r\n" * 4  # at most this many line breaks are accepted before and after the form
_FIELD_NAME = re.compile(r"[A-Za-z0-9_.-]{1,40}", re.ASCII)
_AS_IT_IS = {  # part headers that declare an encoding, and their values that mean "not encoded"
    b"content-transfer-encoding": (b"binary", b"8bit", b"7bit"),
    b"content-encoding": (b"identity",),
}


@dataclass(slots=True)
class _Part:
    headers: dict[bytes, bytes] = field(default_factory=dict)
    name: str = ""
    filename: str | None = None


_END = b""  # ends a part: data events are never empty
_Event = _Part | bytes | memoryview


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
        boundary = _boundary(content_type)
        self._opening, self._leading = b"--" + boundary, _BREAKS  # the parts of the beginning that are still expected
        self._closing, self._before, self._rest = b"\r\n--" + boundary + b"--", b"", b""
        self._parser = MultipartParser(boundary, self._callbacks())  # type: ignore[arg-type]
        self._body = body
        self._file_field, self._known, self._ignored = file_field, fields, ignored
        self._events: deque[_Event] = deque()
        self._header: tuple[bytearray, bytearray] = (bytearray(), bytearray())
        self._part = _Part()
        self._ended = False
        self._chunk, self._data_end = b"", 0  # end of the last part data in the chunk; the closing boundary is later
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
        """The file's bytes, in chunks as they arrive. Raises InvalidInput if the form ends inside the file."""
        while (event := await self._next()) != _END:
            if not isinstance(event, Buffer):
                raise InvalidInput("The form ended inside the file.")
            yield event

    async def finish(self) -> dict[str, str]:
        """Read the rest of the form; returns every text field. Raises InvalidInput for a second file."""
        while (part := await self._next_part()) is not None:
            await self._take_field(part)
        return self._fields

    async def _take_field(self, part: _Part) -> None:
        self._refuse_unknown(part)
        value = bytearray()
        while (event := await self._next()) != _END:
            if not isinstance(event, Buffer) or len(value) + len(event) > MAX_FIELD_BYTES:
                raise InvalidInput(f"A field of the form is cut off or has more than {MAX_FIELD_BYTES} bytes.")
            value += event
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
        event = await self._next()
        if event is not None and not isinstance(event, _Part):
            raise InvalidInput("The form's parts are not in order.")
        return event

    async def _next(self) -> _Event | None:
        """The next event; None after the closing boundary. Raises InvalidInput for a form that ends without it."""
        while not self._events:
            chunk = await anext(self._body, None)
            if chunk is None:
                if self._ended:
                    return None
                raise InvalidInput("The form is not closed by its boundary.")
            self._feed(bytes(chunk))
        return self._events.popleft()

    def _feed(self, chunk: bytes) -> None:
        if not (chunk := self._opened(chunk)):
            return
        if self._ended:
            self._rest += chunk
        else:
            self._chunk, self._data_end = chunk, 0
            self._parse(chunk)
            self._rest += self._behind_closing(chunk)
        # RFC 2046 allows any text behind the form. Clients send line breaks only, and no bytes are accepted unread.
        if not _BREAKS.startswith(self._rest):
            raise InvalidInput("The form goes on behind its closing boundary.")

    def _opened(self, chunk: bytes) -> bytes:
        """The chunk without the line breaks that some clients send before the form.

        RFC 2046 allows any text there. Parsers differ in how they skip it, except for line breaks.
        """
        while self._leading and chunk and chunk[:1] == self._leading[:1]:
            chunk, self._leading = chunk[1:], self._leading[1:]
        if not chunk:
            return chunk
        if len(self._leading) % 2:
            raise InvalidInput("The form does not begin with its boundary.")
        self._leading = b""
        opening, self._opening = self._opening[: len(chunk)], self._opening[len(chunk) :]
        if not chunk.startswith(opening):
            raise InvalidInput("The form does not begin with its boundary.")
        return chunk

    def _behind_closing(self, chunk: bytes) -> bytes:
        """The bytes of the chunk behind the form. The parser reports that the form ended, but not where."""
        if self._ended:
            seen = self._before + chunk
            return seen[len(self._before) + self._data_end if self._data_end else 0 :].partition(self._closing)[2]
        tail = len(self._closing) - 1
        self._before = (self._before + chunk[-tail:])[-tail:]
        return b""

    def _parse(self, piece: bytes) -> None:
        try:
            self._parser.write(piece)
        except FormParserError:
            raise InvalidInput("The form is not multipart/form-data.") from None

    def _callbacks(self) -> dict[str, object]:
        return {
            "on_part_begin": self._on_part_begin,
            "on_header_field": lambda data, start, end: self._header[0].extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._header[1].extend(data[start:end]),
            "on_header_end": self._on_header_end,
            "on_headers_finished": self._on_headers_finished,
            "on_part_data": self._on_part_data,
            "on_part_end": lambda: self._events.append(_END),
            "on_end": self._on_end,
        }

    def _on_part_begin(self) -> None:
        self._part = _Part()

    def _on_header_end(self) -> None:
        name, value = (bytes(text) for text in self._header)
        self._header = (bytearray(), bytearray())
        if name.lower() in self._part.headers:
            raise InvalidInput("A part of the form has a header twice.")
        self._part.headers[name.lower()] = value

    def _on_headers_finished(self) -> None:
        said = disposition.read(self._part.headers.get(b"content-disposition", b""))
        for header, plain in _AS_IT_IS.items():
            if self._part.headers.get(header, plain[0]).strip().lower() not in plain:
                raise InvalidInput(f"A part of the form is encoded ({header.decode()}): send its bytes as they are.")
        self._part.name, self._part.filename = said.name, said.filename
        self._events.append(self._part)

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        self._events.append(memoryview(data)[start:end])
        if data is self._chunk:  # otherwise the bytes are from the chunk before: the parser had held them back
            self._data_end = end

    def _on_end(self) -> None:
        self._ended = True


def _boundary(content_type: str) -> bytes:
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not 0 < len(boundary) <= _MAX_BOUNDARY:
        raise InvalidInput("The body must be multipart/form-data with a boundary.")
    return boundary
