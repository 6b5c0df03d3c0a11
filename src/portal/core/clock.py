"""The one clock: every expiry is judged by `now()`, every time on the wire is written by `rfc3339()`."""

from datetime import UTC, datetime


def now() -> datetime:
    """This moment, aware, UTC, microseconds."""
    return datetime.now(UTC)


def rfc3339(moment: datetime) -> str:
    """RFC 3339 with microseconds and `Z`: always 27 characters, so that text order is time order."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
