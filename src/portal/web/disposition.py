"""Content-Disposition of a form's part (RFC 7578 §4.2): the field's name, and the file's name as clients write it.

Comes in: the header's bytes. Leaves: both names as text, or InvalidInput. Next: `multipart`. How a client encodes a
name is undone where it is plain to see: an encoded-word (.NET, PowerShell), UTF-8 in percent escapes (aiohttp), `%22`
for a quote (browsers, curl), doubled backslashes (httpx), `filename*` (old urllib3). Anything else is the name itself.
"""

import base64
import binascii
import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from portal.core.errors import InvalidInput

_TYPE = re.compile(rb"\s*form-data(?=\s*(?:;|$))", re.IGNORECASE)
_PARAMETER = re.compile(rb'\s*;\s*([^\s;="]+)\s*=\s*(?:"((?:\\"|[^"])*)"(?=\s*(?:;|$))|([^;"]*))')
_END = re.compile(rb"[\s;]*")
_WORD = re.compile(r"=\?utf-8\?([bq])\?([^?\s]*)\?=", re.IGNORECASE | re.ASCII)
_WORDS = re.compile(rf"{_WORD.pattern}(?:\s+{_WORD.pattern})*", re.IGNORECASE | re.ASCII)
_ESCAPED = re.compile(r"(?=.*%[89A-F])(?:[A-Za-z0-9._~-]|%[0-9A-F]{2})+", re.ASCII)
_EXTENDED = re.compile(rb"utf-8'[A-Za-z0-9-]*'(.*)", re.IGNORECASE | re.DOTALL)
_LONE_BACKSLASH = re.compile(r'(?<!\\)(?:\\\\)*\\(?![\\"])')


@dataclass(frozen=True, slots=True)
class Disposition:
    """`filename` is None for a part that is no file."""

    name: str
    filename: str | None


def read(header: bytes) -> Disposition:
    """Raises InvalidInput for what is no form-data with a name, and for a parameter that stands twice."""
    parameters = _parameters(header)
    if b"name" not in parameters:
        raise InvalidInput("A part of the form has no field name.")
    name, _ = parameters[b"name"]
    return Disposition(text(name), _filename(parameters))


def text(raw: bytes) -> str:
    """Raises InvalidInput."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidInput("The form has a field that is not UTF-8.") from None


def _parameters(header: bytes) -> dict[bytes, tuple[bytes, bool]]:
    """Each value, and whether it stood in quotes."""
    start = _TYPE.match(header)
    place, found = start.end() if start else 0, dict[bytes, tuple[bytes, bool]]()
    while start and (match := _PARAMETER.match(header, place)):
        key, quoted, bare = match.groups()
        if key.lower() in found:
            raise InvalidInput("A part of the form has a name or file name twice.")
        found[key.lower()] = (bare.strip(), False) if quoted is None else (quoted, True)
        place = match.end()
    if not start or not _END.fullmatch(header, place):
        raise InvalidInput("A part of the form has no Content-Disposition: form-data that can be read.")
    return found


def _filename(parameters: dict[bytes, tuple[bytes, bool]]) -> str | None:
    """The plain name has the last word; `filename*` is for where that is none, or is encoded as we do not know."""
    extended = parameters.get(b"filename*")
    if b"filename" not in parameters:
        return None if extended is None else _extended(*extended)
    plain = _unquoted(*parameters[b"filename"])
    if plain.startswith("=?") and plain.endswith("?="):
        return _words(plain) or (plain if extended is None else _extended(*extended))
    return _unescaped(plain)


def _unquoted(raw: bytes, quoted: bool) -> str:  # noqa: FBT001  # a pair of `_parameters`
    try:
        plain = raw.decode("utf-8")
    except UnicodeDecodeError:  # Windows' curl sends its code page, and does not say which
        raise InvalidInput(
            "The file name is not UTF-8. Give it another in the request (curl: -F 'file=@disk.img;filename=disk.img')."
        ) from None
    if not quoted:
        return plain
    if not _LONE_BACKSLASH.search(plain):  # each is one of a pair: the client escapes them
        plain = plain.replace("\\\\", "\\")
    return plain.replace('\\"', '"').replace("%22", '"')


def _words(plain: str) -> str | None:
    """RFC 2047's encoded-words; a letter may be divided between two."""
    if not _WORDS.fullmatch(plain):
        return None
    try:
        return b"".join(_word(*word) for word in _WORD.findall(plain)).decode("utf-8")
    except ValueError:
        return None


def _word(encoding: str, encoded: str) -> bytes:
    if encoding.lower() == "b":
        return base64.b64decode(encoded, validate=True)
    return binascii.a2b_qp(encoded, header=True)


def _unescaped(plain: str) -> str:
    """UTF-8 beyond ASCII in percent escapes, and nothing unescaped beside it. `%20` alone may be part of a name."""
    if not _ESCAPED.fullmatch(plain):
        return plain
    try:
        return unquote_to_bytes(plain).decode("utf-8")
    except UnicodeDecodeError:
        return plain


def _extended(raw: bytes, _quoted: bool) -> str:  # noqa: FBT001  # a pair of `_parameters`
    """RFC 8187: `utf-8''Pr%C3%BCfbericht.pdf`."""
    match = _EXTENDED.fullmatch(raw)
    try:
        return unquote_to_bytes(match[1] if match else b"\xff").decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidInput("A file name in filename* is written as utf-8''…") from None
