"""Shared `components` of the OpenAPI document: repeated parameters, headers, examples and responses become references.

Comes in: a complete document. Leaves: the same document with references, a third as long.
"""

import json
from collections import Counter
from typing import Any


def share(document: dict[str, Any]) -> None:
    """Move every header, every example, every error response and every repeated parameter to `components`.

    A success response stays in its operation.
    """
    shelves = {kind: _Shelf(kind) for kind in ("headers", "examples", "responses", "parameters")}
    operations = [operation for methods in document["paths"].values() for operation in methods.values()]
    _share_parameters(operations, shelves["parameters"])
    for operation in operations:
        for status, answer in operation["responses"].items():
            _share_headers(answer, shelves["headers"])
            if status >= "400":
                operation["responses"][status] = _shared_answer(answer, shelves)
    for kind, shelf in shelves.items():
        document["components"][kind] = dict(sorted(shelf.things.items()))


def _share_parameters(operations: list[dict[str, Any]], shelf: "_Shelf") -> None:
    said = Counter(_written(one) for operation in operations for one in operation.get("parameters", ()))
    for operation in operations:
        for place, one in enumerate(operation.get("parameters", ())):
            if said[_written(one)] > 1:
                operation["parameters"][place] = shelf.put(one["name"], one)


def _written(thing: dict[str, Any]) -> str:
    return json.dumps(thing, sort_keys=True)


class _Shelf:
    """One section of `components`. Equal values share one name; a different value under a taken name gets a number.

    Example: `not_found`, then `not_found-2`.
    """

    def __init__(self, kind: str) -> None:
        self.things: dict[str, Any] = {}
        self._kind = kind
        self._names: dict[str, str] = {}

    def put(self, name: str, thing: dict[str, Any]) -> dict[str, Any]:
        """The `$ref` to `thing`, which is added under `name` if it is new."""
        written = name + _written(thing)
        if written not in self._names:
            numbered = (name if n == 1 else f"{name}-{n}" for n in range(1, len(self.things) + 2))
            self._names[written] = next(free for free in numbered if free not in self.things)
            self.things[self._names[written]] = thing
        return {"$ref": f"#/components/{self._kind}/{self._names[written]}"}


def _share_headers(answer: dict[str, Any], shelf: _Shelf) -> None:
    if "headers" in answer:
        answer["headers"] = {name: shelf.put(name, header) for name, header in answer["headers"].items()}


def _shared_answer(answer: dict[str, Any], shelves: dict[str, _Shelf]) -> dict[str, Any]:
    (content,) = answer["content"].values()
    codes = sorted(content["examples"])
    content["examples"] = {code: shelves["examples"].put(code, content["examples"][code]) for code in codes}
    return shelves["responses"].put(codes[0], answer)
