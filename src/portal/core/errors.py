"""The error tree, with the HTTP status of each error. Every class has a stable `code` as well.

    PortalError                 500  an unexpected error
    ├── InvalidInput            400  the request is malformed
    ├── NotSignedIn             401  no credential, or an invalid, expired or revoked one
    ├── Forbidden               403  the caller is known, but not allowed to do this
    │   └── InsufficientScope   403  the credential lacks the permission
    ├── NotFound                404  absent, or the caller may not know that it exists
    ├── Conflict                409  the current state does not allow it
    ├── PreconditionFailed      412  If-Match names another version
    ├── TooLarge                413  over a configured limit
    ├── RangeNotSatisfiable     416  the range is outside the file
    ├── Unprocessable           422  well-formed, but not acceptable
    ├── PreconditionRequired    428  If-Match is missing
    ├── RateLimited             429  too many requests; a later one may succeed
    ├── ClientGone              499  the client disconnected; the response reaches no client
    ├── IntegrityError          500  stored bytes differ from the sealed ones; the message never says how
    ├── ConfigError             500  the portal refuses to start; has every problem found
    ├── Unavailable             503  a part that the portal needs is unavailable; a later try may succeed
    │   └── PortalStopped       503  the portal was told to stop, and the grace of its requests is over
    └── StorageFull             507  no space for the bytes

Every layer may raise these. A feature defines its own errors as subclasses; `docs/errors.md` has the whole tree.

Next: `web/errors.py` renders them as RFC 9457 problem documents, `cli` prints one line for each. The package that calls
a third-party library converts the library's exceptions into these; no foreign exception leaves it.
"""

from typing import Any, ClassVar


class PortalError(Exception):
    """The base class of all errors of the portal. `str(error)` is safe to show to the caller.

    `retry_after` is seconds.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "Something went wrong on our side."
    retry_after: int | None = None  # seconds
    action: str | None = None
    subject: str | None = None
    """`action` and `subject`: the refused action and its object, for the audit log. The caller sees neither."""
    reason: str | None = None
    """A few words without secrets, for operators: `db.reasons` shows them in the log and on the command line."""

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(detail or self.title)

    def members(self) -> dict[str, Any]:
        """The additional members of this error's problem document (RFC 9457 §3.2)."""
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
    """The requested range is outside the file. `size` is the file's size in bytes; None if it is not known."""

    status, code, title = 416, "range_not_satisfiable", "The range lies outside the file."

    def __init__(self, *, size: int | None = None) -> None:
        super().__init__()
        self.size = size


class Unprocessable(PortalError):
    status, code, title = 422, "unprocessable", "The request is well-formed but not acceptable."


class PreconditionRequired(PortalError):
    status, code, title = 428, "precondition_required", "Send If-Match with the version you read."


class RateLimited(PortalError):
    """Too many requests. The next one may succeed after `seconds`."""

    status, code, title = 429, "rate_limited", "There were too many requests; wait before the next one."

    def __init__(self, seconds: int = 60) -> None:
        super().__init__()
        self.retry_after = seconds


class IntegrityError(PortalError):
    """Stored bytes differ from the sealed ones. Only the log has the location and the cause (`docs/format.md` 5)."""

    status, code, title = 500, "integrity_error", "The stored bytes are damaged and were not delivered."

    def __init__(self) -> None:
        super().__init__()


class Unavailable(PortalError):
    status, code, title = 503, "unavailable", "A part of the portal is unavailable; try again."
    retry_after = 5


class PortalStopped(Unavailable):
    code, title = "portal_stopped", "The portal was stopped before the end; try again."


class StorageFull(PortalError):
    status, code, title = 507, "storage_full", "There is no room to store the file; nothing was kept."
    retry_after = 60


class ClientGone(PortalError):
    status, code, title = 499, "client_gone", "The client left before the end."


class ConfigError(PortalError):
    """The portal refuses to start. `problems` has one line for each problem, without secrets."""

    code, title = "config_error", "The configuration is refused."

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems
