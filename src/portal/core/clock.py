"""The one clock: every expiry is compared with `now()`; every time on the wire is formatted by `rfc3339()`."""

from datetime import UTC, datetime


def now() -> datetime:
    """The current time: timezone-aware, in UTC, with microseconds."""
    return datetime.now(UTC)


def rfc3339(moment: datetime) -> str:
    """The moment in RFC 3339 with microseconds and `Z`: always 27 characters, so sorted texts are sorted times."""
    return moment.astimezone(UTC).isoformat("T", "microseconds")[:26] + "Z"
