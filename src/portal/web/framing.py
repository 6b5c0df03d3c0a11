"""Where a body ends: what the head says of it, judged in one place for every reader of bytes.

Comes in: a request's header fields. Leaves: the body's length, or a refusal of a head that two readers could read in
two ways (RFC 9112 §6). `parser` asks before a request exists; `middleware` and `direct` ask again for what they do.
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
    """In bytes; None for a body in chunks. `fields` have names in lower case. Raises InvalidInput."""
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
