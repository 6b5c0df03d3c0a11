"""What a mistyped path may have meant: the route whose fixed words are nearest, for the detail of a 404.

Comes in: the routes, a method and a path. Leaves: the route as the documents write it; never a word of the client's.
An id that is not a UUID is no mistyped path: it is answered as an unknown id is.
"""

import re
from collections.abc import Iterable
from difflib import SequenceMatcher

_LIKE = 0.8  # of two words, by difflib: `uploads` and `upload` are
_ID = ":uuid}"
_MOST_CHARACTERS = 200  # of a path that is looked at


def nearest(routes: Iterable[tuple[str, set[str]]], method: str, path: str) -> str | None:
    """`routes` have a template and its methods. None where nothing is near."""
    if len(path) > _MOST_CHARACTERS:
        return None
    given = path.rstrip("/").split("/")
    empty = path.endswith("/")  # a name that a script put behind it may have come out empty
    offered = [template.split("/") for template, methods in routes if method in methods]
    near = [(_likeness(words, given), (len(words) > len(given)) == empty, "/".join(words)) for words in offered]
    best, _, template = max(near, default=(0.0, False, ""))
    return f"{method} {re.sub(r':[a-z]+}', '}', template)}" if best else None


def names_no_id(templates: Iterable[str], path: str) -> bool:
    """Whether the path is a route's, but for an id that is no UUID: `/files/42`, by `/files/{file_id:uuid}`."""
    given = path.split("/")
    return any(_fits(template.split("/"), given) for template in templates if _ID in template)


def _fits(template: list[str], given: list[str]) -> bool:
    pairs = list(zip(template, given, strict=False))
    return len(template) == len(given) and all(
        bool(is_owner) if mine.endswith(_ID) else mine == is_owner for mine, is_owner in pairs
    )


def _likeness(template: list[str], given: list[str]) -> float:
    """0 where a word is another one. The name at the end may be missing."""
    missing = template[len(given) :]
    if len(given) > len(template) or len(missing) > 1 or any(word[:1] != "{" for word in missing):
        return 0
    words = [(mine, is_owner) for mine, is_owner in zip(template, given, strict=False) if mine[:1] != "{"]
    least = min(1.0 if mine == is_owner else SequenceMatcher(a=mine, b=is_owner).ratio() for mine, is_owner in words)
    return least if least >= _LIKE else 0
