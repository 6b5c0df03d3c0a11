"""What an OpenAPI document says more than once, said once: headers, examples and answers move to `components`.

Comes in: a complete document. Leaves: the same one with references, a third as long.
"""

import json
from typing import Any


def share(document: dict[str, Any]) -> None:
    """Every header and example, and the answers that refuse something; what succeeds stays with its operation."""
    shelves = {kind: _Shelf(kind) for kind in ("headers", "examples", "responses")}
    for methods in document["paths"].values():
        for operation in methods.values():
            for status, answer in operation["responses"].items():
                _share_headers(answer, shelves["headers"])
                if status >= "400":
                    operation["responses"][status] = _shared_answer(answer, shelves)
    for kind, shelf in shelves.items():
        document["components"][kind] = dict(sorted(shelf.things.items()))


class _Shelf:
    """Equal things under one name; another thing that wants a name that is taken gets a number behind it."""

    def __init__(self, kind: str) -> None:
        self.things: dict[str, Any] = {}
        self._kind = kind
        self._names: dict[str, str] = {}

    def put(self, name: str, thing: dict[str, Any]) -> dict[str, Any]:
        """The reference to it."""
        written = name + json.dumps(thing, sort_keys=True)
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
