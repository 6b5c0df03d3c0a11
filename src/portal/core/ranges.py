"""What a reader asks of a file's bytes: conditions and one range, as a value (RFC 9110 §13 and §14).

Comes in: what `web/conditional_requests` read in headers, or nothing at all: the whole file. Leaves: a `ByteRange`,
once the file's size and tag are known; or the refusal that RFC 9110 names.
"""

from dataclasses import dataclass, field
from typing import Final

from portal.core.errors import PreconditionFailed, RangeNotSatisfiable


class NotModified(Exception):
    """If-None-Match names what there is: the client has it already."""

    def __init__(self, tag: str) -> None:
        super().__init__()
        self.tag = tag


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Bytes [start, start + length) of a file. `partial`: a range was asked for, even where it is the whole file."""

    start: int
    length: int
    partial: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Preconditions:
    """None is a header that is absent; `*` stands among the tags as itself."""

    match: frozenset[str] | None = None
    none_match: frozenset[str] = frozenset()

    def judge(self, tag: str) -> None:
        """Whether a read is answered with the bytes that have `tag`. Raises PreconditionFailed, NotModified."""
        if self.match is not None and self.match.isdisjoint({"*", tag}):
            raise PreconditionFailed
        if not self.none_match.isdisjoint({"*", tag}):
            raise NotModified(tag)


@dataclass(frozen=True, slots=True)
class RangeRequest:
    """`first` and `last` are positions, `suffix` counts from the end: at most one of `first` and `suffix` is set.

    A range counts for the bytes with the tag `if_range` alone, where it is set; for all others the whole file is meant.
    """

    preconditions: Preconditions = Preconditions()
    first: int | None = None
    last: int | None = None
    suffix: int | None = None
    if_range: str | None = None

    def resolve(self, size: int, tag: str) -> ByteRange:
        """The bytes of a file of that size and tag. Raises NotModified, PreconditionFailed, RangeNotSatisfiable."""
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
