"""The one error tree: what goes wrong, with the status and the stable code it has on the wire.

    PortalError                 500  what nobody foresaw
    ├── InvalidInput            400  the request is malformed
    ├── NotSignedIn             401  no credential, or one that is not valid (any more)
    ├── Forbidden               403  known caller, not allowed
    │   └── InsufficientScope   403  the credential was not made for that
    ├── NotFound                404  absent, or not the caller's to know of
    ├── Conflict                409  the state does not allow it (any more)
    ├── PreconditionFailed      412  If-Match names an older version
    ├── TooLarge                413  over a configured limit
    ├── RangeNotSatisfiable     416  the range lies outside the file
    ├── Unprocessable           422  well-formed, but not acceptable
    ├── PreconditionRequired    428  If-Match is missing
    ├── RateLimited             429  too many requests; a later one may pass
    ├── ClientGone              499  the client left; nobody reads an answer
    ├── IntegrityError          500  stored bytes are not what was sealed: one message, whatever is wrong
    ├── ConfigError             500  refuses to start; carries every problem found
    ├── Unavailable             503  a part the portal needs is away; a later try may pass
    └── StorageFull             507  no room for the bytes

These are the kinds that every floor may raise. A feature's own errors stand in the feature, below one of these;
`docs/errors.md` has the whole tree.

Leaves: exceptions. Next: `web/errors.py` renders them as RFC 9457 problem documents, `cli` as one line each.
A foreign exception never crosses a room's door: whoever calls a library turns its errors into one of these.
"""

from typing import Any, ClassVar


class PortalError(Exception):
    """Base of everything the portal says went wrong. `str(error)` is safe to show to the caller."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "Something went wrong on our side."
    retry_after: int | None = None  # seconds
    action: str | None = None
    subject: str | None = None
    """What the policy refused, and to which object: for the audit log. Neither is told to the caller."""

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(detail or self.title)

    def members(self) -> dict[str, Any]:
        """What the problem document has beside the members of every other."""
        return {}


class InvalidInput(PortalError):
    status, code, title = 400, "invalid_input", "The request is malformed."


class NotSignedIn(PortalError):
    status, code, title = 401, "not_signed_in", "A valid access token is needed; it is missing, wrong or expired."


class Forbidden(PortalError):
    status, code, title = 403, "forbidden", "This account may not do that."


class InsufficientScope(Forbidden):
    code, title = "insufficient_scope", "The token lacks a permission that this needs."


class NotFound(PortalError):
    status, code, title = 404, "not_found", "There is nothing here for this caller."


class Conflict(PortalError):
    status, code, title = 409, "conflict", "The current state does not allow this."


class PreconditionFailed(PortalError):
    status, code, title = 412, "precondition_failed", "The resource has changed; read it again."


class TooLarge(PortalError):
    status, code, title = 413, "too_large", "The body is larger than allowed."


class RangeNotSatisfiable(PortalError):
    """`size` is the file's, in bytes."""

    status, code, title = 416, "range_not_satisfiable", "The range lies outside the file."

    def __init__(self, *, size: int | None = None) -> None:
        super().__init__()
        self.size = size


class Unprocessable(PortalError):
    status, code, title = 422, "unprocessable", "The request is well-formed but not acceptable."


class PreconditionRequired(PortalError):
    status, code, title = 428, "precondition_required", "Send If-Match with the version you read."


class RateLimited(PortalError):
    """`seconds` later there may be another."""

    status, code, title = 429, "rate_limited", "There were too many requests; wait before the next one."

    def __init__(self, seconds: int = 60) -> None:
        super().__init__()
        self.retry_after = seconds


class IntegrityError(PortalError):
    """Stored bytes are not exactly what was sealed. Where and why goes to the log alone (`docs/format.md` 4)."""

    status, code, title = 500, "integrity_error", "The stored bytes are damaged and were not delivered."

    def __init__(self) -> None:
        super().__init__()


class Unavailable(PortalError):
    status, code, title = 503, "unavailable", "A part of the portal is away; try again."
    retry_after = 5


class StorageFull(PortalError):
    status, code, title = 507, "storage_full", "There is no room to store the file; nothing was kept."
    retry_after = 60


class ClientGone(PortalError):
    status, code, title = 499, "client_gone", "The client left before the end."


class ConfigError(PortalError):
    """The portal refuses to start. `problems` holds one clear line each, never a secret."""

    code, title = "config_error", "The configuration is refused."

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems
