"""What the clients of key servers share: strict JSON, and the reason why a server cannot be reached.

Comes in: the bytes of an answer, or the error of a client library. Leaves: an object, or a few words without secrets.
"""

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


def why_unreachable(error: BaseException) -> str:
    """The reason below a library's own error: the system's or TLS's, which `db.reasons` knows."""
    while below := error.__cause__ or error.__context__:
        error = below
    return reason(error)
