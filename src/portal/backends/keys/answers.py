"""What the clients of key servers share: strict JSON and base64, and the reason why a server cannot be reached.

Comes in: the bytes of an answer, or the error of a client library. Leaves: an object or bytes, or a few words without
secrets.
"""

import base64
import binascii
import json
from typing import Any

from portal.db.reasons import reason


def json_object(content: bytes) -> dict[str, Any] | None:
    """The JSON object in the body of an answer; None for anything else."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def bytes_of(text: object) -> bytes | None:
    """The bytes of a base64 text (RFC 4648 4); None for anything else."""
    try:
        return base64.b64decode(text, validate=True) if isinstance(text, str) else None
    except (binascii.Error, ValueError):
        return None


def why_unreachable(error: BaseException) -> str:
    """The reason below a library's own error: the system's or TLS's, which `db.reasons` knows."""
    while below := error.__cause__ or error.__context__:
        error = below
    return reason(error)
