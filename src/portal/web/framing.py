"""The framing of a request body: its length according to the head, decided in one place for all readers.

Comes in: the header fields of a request. Leaves: the body's length; or InvalidInput for an ambiguous head, which would
allow request smuggling (RFC 9112 §6). `parser` calls it before a request exists; `middleware` and `direct` call it
again for their own decisions.
"""

import re
from collections.abc import Iterable

from portal.core.errors import InvalidInput, PortalError

_LENGTH = re.compile(rb"\d{1,19}")


class HeadTooLarge(PortalError):
    status, code, title = 431, "head_too_large", "The request has too many headers, or too large ones."


class TargetTooLong(PortalError):
    status, code, title = 414, "target_too_long", "The request's path and query are too long."


class VersionNotSupported(PortalError):
    status, code, title = 505, "version_not_supported", "This version of HTTP is not spoken here."


def body_length(fields: Iterable[tuple[bytes, bytes]], version: str) -> int | None:
    """The body's length in bytes: 0 without a body, None for a chunked body. `fields` are (lower-case name, value).

    Raises InvalidInput for repeated or malformed Content-Length, a transfer coding but `chunked`, both at once, or a
    transfer coding in HTTP/1.0.
    """
    codings, lengths = [], []
    for name, value in fields:
        if name == b"transfer-encoding":
            codings.append(value.strip().lower())
        elif name == b"content-length":
            lengths.append(value)
    if codings not in ([], [b"chunked"]) or len(codings) + len(lengths) > 1 or not all(map(_LENGTH.fullmatch, lengths)):
        raise InvalidInput("The body's framing is ambiguous.")
    if codings and version == "1.0":
        raise InvalidInput("HTTP/1.0 knows no transfer coding.")
    return None if codings else int(lengths[0]) if lengths else 0
