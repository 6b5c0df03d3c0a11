"""Content-Disposition of a form part (RFC 7578 §4.2): the name of the field, and the file name that the client sent.

Comes in: the bytes of the header. Leaves: both names as text, or InvalidInput. Next: `multipart`.
A client's encoding of the file name is decoded where it is unambiguous: an encoded-word (.NET, PowerShell), UTF-8 in
percent escapes (aiohttp), `%22` for a quote (browsers, curl), doubled backslashes (httpx), `filename*` (old urllib3).
Any other text is the name itself.
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
    """The names in the header of one part. `filename` is None for a part that is not a file."""

    name: str
    filename: str | None


def read(header: bytes) -> Disposition:
    """Parse the header. Raises InvalidInput if it is not form-data with a name, or repeats a parameter."""
    parameters = _parameters(header)
    if b"name" not in parameters:
        raise InvalidInput("A part of the form has no field name.")
    name, _ = parameters[b"name"]
    return Disposition(text(name), _filename(parameters))


def text(raw: bytes) -> str:
    """The bytes decoded as UTF-8. Raises InvalidInput for any other encoding."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidInput("The form has a field that is not UTF-8.") from None


def _parameters(header: bytes) -> dict[bytes, tuple[bytes, bool]]:
    """The parameters by lower-case name, each as (value, whether it was quoted)."""
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
    """The file name. `filename` takes precedence; `filename*` counts if that is missing, or is an encoded-word that
    cannot be decoded.
    """
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
    except UnicodeDecodeError:  # curl on Windows sends the name in its code page, without naming it
        raise InvalidInput(
            "The file name is not UTF-8. Give it another in the request (curl: -F 'file=@disk.img;filename=disk.img')."
        ) from None
    if not quoted:
        return plain
    if not _LONE_BACKSLASH.search(plain):  # every backslash is part of a pair: this client escapes them
        plain = plain.replace("\\\\", "\\")
    return plain.replace('\\"', '"').replace("%22", '"')


def _words(plain: str) -> str | None:
    """The text of RFC 2047 encoded-words; None if it is not such. A character may be split between two of them."""
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
    """The name decoded from percent escapes, if it has a non-ASCII one and no character that should be escaped too.

    Otherwise the text itself: `50%20off.txt` may be the file's real name.
    """
    if not _ESCAPED.fullmatch(plain):
        return plain
    try:
        return unquote_to_bytes(plain).decode("utf-8")
    except UnicodeDecodeError:
        return plain


def _extended(raw: bytes, _quoted: bool) -> str:  # noqa: FBT001  # a pair of `_parameters`
    """The name in an RFC 8187 value, such as `utf-8''Pr%C3%BCfbericht.pdf`. Raises InvalidInput."""
    match = _EXTENDED.fullmatch(raw)
    try:
        return unquote_to_bytes(match[1] if match else b"\xff").decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidInput("A file name in filename* is written as utf-8''…") from None
