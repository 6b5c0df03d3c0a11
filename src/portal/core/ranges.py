"""A request for file content as a value: preconditions and one byte range (RFC 9110 §13 and §14).

Comes in: headers that `web/conditional_requests` parsed, or `WHOLE_FILE`. Leaves: a `ByteRange`, once the file's size
and ETag are known; or the error that RFC 9110 names.
"""

from dataclasses import dataclass, field
from typing import Final

from portal.core.errors import PreconditionFailed, RangeNotSatisfiable


class NotModified(Exception):
    """If-None-Match names the current ETag: the client has this content already, and the response is 304."""

    def __init__(self, tag: str) -> None:
        super().__init__()
        self.tag = tag


@dataclass(frozen=True, slots=True)
class ByteRange:
    """The bytes `start` to `start + length - 1` of a file. `partial` is true if a range was requested, even if that
    range is the whole file: the response is 206 then.
    """

    start: int
    length: int
    partial: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Preconditions:
    """The ETags of If-Match and If-None-Match. `match` None means no If-Match header; a `*` is in the sets as `"*"`."""

    match: frozenset[str] | None = None
    none_match: frozenset[str] = frozenset()

    def judge(self, tag: str) -> None:
        """Check both headers against `tag`, the current ETag. Returns if the read may go on.

        Raises PreconditionFailed, NotModified.
        """
        if self.match is not None and self.match.isdisjoint({"*", tag}):
            raise PreconditionFailed
        if not self.none_match.isdisjoint({"*", tag}):
            raise NotModified(tag)


@dataclass(frozen=True, slots=True)
class RangeRequest:
    """The preconditions and the range of a request for file content. All positions are bytes.

    `bytes=5-9` is `first` 5 and `last` 9, both included; `bytes=5-` has no `last`; `bytes=-9` is `suffix` 9, the last 9
    bytes. Without `first` and `suffix`, the whole file is requested. If `if_range` is set and is not the current ETag,
    the range is ignored: the whole file is sent.
    """

    preconditions: Preconditions = Preconditions()
    first: int | None = None
    last: int | None = None
    suffix: int | None = None
    if_range: str | None = None

    def resolve(self, size: int, tag: str) -> ByteRange:
        """The range of a file with `size` bytes and the ETag `tag`.

        Raises PreconditionFailed, NotModified; RangeNotSatisfiable if no byte of the file is in the range.
        """
        self.preconditions.judge(tag)
        whole = self.first is None and self.suffix is None
        if whole or self.if_range not in {None, tag}:
            return ByteRange(0, size)
        start, end = self._ends(size)
        if start >= end:
            raise RangeNotSatisfiable(size=size)
        return ByteRange(start, end - start, partial=True)

    def _ends(self, size: int) -> tuple[int, int]:
        if self.suffix is not None:
            return max(size - self.suffix, 0), size
        return self.first or 0, size if self.last is None else min(self.last + 1, size)


WHOLE_FILE: Final = RangeRequest()
