"""The orders of a listing of files."""

from enum import StrEnum


class FileOrder(StrEnum):
    """The order of a listing."""

    NEWEST = "newest"  # by the time at which the upload began, latest first
    AVAILABLE = "available"  # by the time at which the file became available, earliest first: for clients that poll
