"""Suggestions for mistyped paths: the route with the most similar fixed words, for the detail of a 404.

Comes in: the routes, a method and a path. Leaves: the route as the documentation writes it; never text from the client.
A path with an id that is not a UUID is not mistyped: it gets the response of an unknown id.
"""

import re
from collections.abc import Iterable
from difflib import SequenceMatcher

_LIKE = 0.8  # the least similarity of two words, by difflib: `uploads` and `upload` have more
_ID = ":uuid}"
_MOST_CHARACTERS = 200  # a longer path gets no suggestion


def nearest(routes: Iterable[tuple[str, set[str]]], method: str, path: str) -> str | None:
    """The suggested route, such as `GET /api/v1/files/{file_id}`; None if no route is similar enough.

    `routes` are (path template, methods).
    """
    if len(path) > _MOST_CHARACTERS:
        return None
    given = path.rstrip("/").split("/")
    empty = path.endswith("/")  # a script may have appended an empty variable instead of an id or a name
    offered = [template.split("/") for template, methods in routes if method in methods]
    near = [(_likeness(words, given), (len(words) > len(given)) == empty, "/".join(words)) for words in offered]
    best, _, template = max(near, default=(0.0, False, ""))
    return f"{method} {re.sub(r':[a-z]+}', '}', template)}" if best else None


def names_no_id(templates: Iterable[str], path: str) -> bool:
    """Whether the path would match a route if its id were a UUID: `/files/42` and `/files/{file_id:uuid}`."""
    given = path.split("/")
    return any(_fits(template.split("/"), given) for template in templates if _ID in template)


def _fits(template: list[str], given: list[str]) -> bool:
    pairs = list(zip(template, given, strict=False))
    return len(template) == len(given) and all(
        bool(word) if mine.endswith(_ID) else mine == word for mine, word in pairs
    )


def _likeness(template: list[str], given: list[str]) -> float:
    """The similarity of the least similar fixed word, 0 to 1; 0 below `_LIKE`. The last parameter may be missing."""
    missing = template[len(given) :]
    if len(given) > len(template) or len(missing) > 1 or any(part[:1] != "{" for part in missing):
        return 0
    words = [(mine, word) for mine, word in zip(template, given, strict=False) if mine[:1] != "{"]
    least = min(1.0 if mine == word else SequenceMatcher(a=mine, b=word).ratio() for mine, word in words)
    return least if least >= _LIKE else 0
