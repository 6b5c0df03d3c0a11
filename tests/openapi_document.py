"""Parts of the OpenAPI document in full, for tests that read it. Comes in: the document. Leaves: no reference."""

from typing import Any


def parameters_of(operation: dict[str, Any], document: dict[str, Any]) -> list[dict[str, Any]]:
    """Every parameter of an operation, also those that `components` has."""
    return [_found(one, document) for one in operation.get("parameters", ())]


def _found(parameter: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    name = parameter.get("$ref", "").removeprefix("#/components/parameters/")
    found: dict[str, Any] = document["components"]["parameters"][name] if name else parameter
    return found
