"""Request headers that say "only if" and "only this part": ETags, If-Match, If-None-Match, Range, If-Range.

Comes in: header texts. Leaves: plain values, or the error RFC 9110 names. All positions and lengths are bytes.
"""

import re

from starlette.datastructures import Headers

from portal.core.errors import InvalidInput, PreconditionFailed, PreconditionRequired, RangeNotSatisfiable

_RANGE = re.compile(r"bytes=(?:(\d{1,19})-(\d{0,19})|-(\d{1,19}))", re.ASCII | re.IGNORECASE)
_VERSION_TAG = re.compile(r'"(0|[1-9]\d{0,8})"', re.ASCII)  # as `version_tag` writes it: tags are compared as they are
_TAGS = re.compile(
    r'(W/)?"[\x21\x23-\x7e\x80-\xff]*"([ \t]*,[ \t]*(W/)?"[\x21\x23-\x7e\x80-\xff]*")*'
)  # RFC 9110 §8.8.3
_TAG = re.compile(r'(W/)?("[\x21\x23-\x7e\x80-\xff]*")', re.ASCII)
_BLANK = " \t"  # RFC 9110 §5.6.3: other white space is none


def version_tag(version: int) -> str:
    """The strong ETag of a version of metadata."""
    return f'"{version}"'


def expected_version(if_match: str | None) -> int | None:
    """The version that If-Match names; None for `*`. Raises PreconditionRequired, PreconditionFailed, InvalidInput."""
    if if_match is None:
        raise PreconditionRequired
    given = if_match.strip(_BLANK)
    if given == "*":
        return None
    if not _TAGS.fullmatch(given):
        raise InvalidInput('If-Match is not an ETag: write it in quotes, as the ETag header has it: If-Match: "1"')
    match = _VERSION_TAG.fullmatch(given)
    if match is None:
        raise PreconditionFailed  # a weak, foreign or second tag never matches
    return int(match[1])


class NotModified(Exception):
    """If-None-Match names what there is: the client has it already."""


def judge(headers: Headers, tag: str) -> None:
    """Whether a read is to be answered with what has `tag` (RFC 9110 §13.2.2, but for If-Range).

    Raises PreconditionFailed, NotModified.
    """
    match, none_match = (", ".join(headers.getlist(name)).strip(_BLANK) for name in ("if-match", "if-none-match"))
    if "if-match" in headers and match != "*" and tag not in _strong_tags(match):
        raise PreconditionFailed
    if none_match == "*" or tag in {found[2] for found in _TAG.finditer(none_match)}:
        raise NotModified


def _strong_tags(header: str) -> set[str]:
    return {found[2] for found in _TAG.finditer(header) if not found[1]}


def content_tag(sha256: str) -> str:
    """The strong ETag of a file's bytes."""
    return f'"{sha256}"'


def wanted_range(header: str | None, if_range: str | None, tag: str, size: int) -> tuple[int, int] | None:
    """(start, length) of the one range asked for; None for the whole file (RFC 9110 §14.2).

    More than one range, another unit or nonsense asks for the whole file; so does an If-Range that is not the strong
    tag of these bytes. Raises RangeNotSatisfiable.
    """
    match = None if header is None else _RANGE.fullmatch(header.strip(_BLANK))
    if match is None or (if_range is not None and if_range.strip(_BLANK) != tag):
        return None
    first, last, suffix = match.groups()
    if suffix is not None:
        start, end = max(size - int(suffix), 0), size - 1
    else:
        start, end = int(first), min(int(last), size - 1) if last else size - 1
        if last and int(last) < start:
            return None
    if start > end:
        raise RangeNotSatisfiable(size=size)
    return start, end - start + 1
