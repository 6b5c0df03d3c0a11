"""Conditional and range requests (RFC 9110 §13, §14): ETags, If-Match, If-None-Match, Range, If-Range.

Comes in: header texts. Leaves: plain values, or the error that RFC 9110 names. All positions and lengths are bytes.
"""

import re

from starlette.datastructures import Headers

from portal.core.errors import InvalidInput, PreconditionFailed, PreconditionRequired
from portal.core.ranges import Preconditions, RangeRequest

_RANGE = re.compile(r"bytes=(?:(\d{1,19})-(\d{0,19})|-(\d{1,19}))", re.ASCII | re.IGNORECASE)
_VERSION_TAG = re.compile(r'"(0|[1-9]\d{0,8})"', re.ASCII)  # exactly as `version_tag` writes it
_TAGS = re.compile(
    r'(W/)?"[\x21\x23-\x7e\x80-\xff]*"([ \t]*,[ \t]*(W/)?"[\x21\x23-\x7e\x80-\xff]*")*'
)  # RFC 9110 §8.8.3
_TAG = re.compile(r'(W/)?("[\x21\x23-\x7e\x80-\xff]*")', re.ASCII)
_BLANK = " \t"  # RFC 9110 §5.6.3: no other character counts as white space


def version_tag(version: int) -> str:
    """The strong ETag of a metadata version: `"3"` for version 3, quotes included."""
    return f'"{version}"'


def expected_version(if_match: str | None) -> int | None:
    """The version that If-Match names; None for `*`, which matches any version.

    Raises PreconditionRequired without the header, InvalidInput if it is not a list of ETags, PreconditionFailed if it
    is not exactly one strong tag of a version.
    """
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


def preconditions(headers: Headers) -> Preconditions:
    """The If-Match and If-None-Match headers (RFC 9110 §13.1). Weak tags count in If-None-Match only."""
    match, none_match = (", ".join(headers.getlist(name)).strip(_BLANK) for name in ("if-match", "if-none-match"))
    return Preconditions(
        _tags(match, weak=False) if "if-match" in headers else None,
        _tags(none_match, weak=True),
    )


def _tags(header: str, *, weak: bool) -> frozenset[str]:
    if header == "*":
        return frozenset("*")
    return frozenset(found[2] for found in _TAG.finditer(header) if weak or not found[1])


def range_request(headers: Headers) -> RangeRequest:
    """The conditions and the range of a GET (RFC 9110 §14.2). Several ranges, another unit or a malformed Range header
    mean the whole file.
    """
    asked = preconditions(headers)
    match = _RANGE.fullmatch(headers.get("range", "").strip(_BLANK))
    if match is None:
        return RangeRequest(asked)
    if_range = headers.get("if-range")
    first, last, suffix = (None if text is None or not text else int(text) for text in match.groups())
    if first is not None and last is not None and last < first:
        return RangeRequest(asked)
    return RangeRequest(asked, first, last, suffix, None if if_range is None else if_range.strip(_BLANK))
