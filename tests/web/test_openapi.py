"""What generators of SDKs, linters and readers need of the document, apart from running them (`tests/sdk`)."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from portal import config
from portal.app import create_app
from portal.features.authz import policy
from portal.features.tokens.schemas import TokenPermission
from portal.web.components import share

from ..openapi_document import parameters_of

KEYS = {f"PORTAL_{name}": sha256(name.encode()).hexdigest() for name in ("MASTER_KEY", "SECRET_KEY")}
METHODS = ("get", "head", "post", "put", "patch", "delete")
BOUNDS = {"enum", "const", "pattern", "maxLength", "$ref"}
FORMATS = {"uuid", "date-time", "binary"}  # that bound a text by themselves; a file has the upload limit


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return create_app(*config.load(KEYS, Path("/nonexistent/.env"))).openapi()


def operations(document: dict[str, Any]) -> list[dict[str, Any]]:
    found = [operation for path in document["paths"].values() for operation in path.values()]
    assert len(found) > 50
    return found


def parameters(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    found = [(said["operationId"], one) for said in operations(document) for one in parameters_of(said, document)]
    assert len(found) > 60
    return found


def walk(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from walk(child)


def test_the_document_is_short_enough_to_be_fetched_and_read(document: dict[str, Any]) -> None:
    assert len(json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()) < 256 << 10


def test_no_shape_takes_the_types_from_generated_code(document: dict[str, Any]) -> None:
    assert not [node for node in walk(document) if "oneOf" in node or "allOf" in node]


def test_no_two_operations_collide_where_generators_add_raw(document: dict[str, Any]) -> None:
    names = {said["operationId"].replace("_", "") for said in operations(document)}
    assert not {name for name in names if f"{name}raw" in names}


def test_no_schema_is_named_like_a_constructor_in_go(document: dict[str, Any]) -> None:
    schemas = set(document["components"]["schemas"])
    assert not {name for name in schemas if name.startswith("New")}
    assert len({name.lower() for name in schemas}) == len(schemas)


def test_no_two_enums_have_a_name_in_common(document: dict[str, Any]) -> None:
    """In Go they are constants of one package."""
    enums = {name: s for name, s in document["components"]["schemas"].items() if "enum" in s}
    names = [word.upper() for schema in enums.values() for word in schema.get("x-enum-varnames", schema["enum"])]
    assert [name for name, count in Counter(names).items() if count > 1] == []
    for schema in enums.values():
        assert len(schema.get("x-enum-varnames", schema["enum"])) == len(schema["enum"])


def test_parameters_have_no_null_and_headers_their_usual_spelling(document: dict[str, Any]) -> None:
    for where, parameter in parameters(document):
        schema = parameter["schema"]
        assert "null" not in json.dumps(schema), (where, parameter["name"])
        assert schema.get("default", "") is not None
        if parameter["in"] == "header":
            assert parameter["name"] == "-".join(word.capitalize() for word in parameter["name"].split("-"))


def test_every_parameter_and_field_is_described(document: dict[str, Any]) -> None:
    bare = [f"{where}: {one['name']}" for where, one in parameters(document) if not one.get("description")]
    for name, schema in document["components"]["schemas"].items():
        assert schema.get("description"), name
        fields = schema.get("properties", {}).items()
        bare += [f"{name}.{field}" for field, said in fields if not said.keys() & {"description", "$ref"}]
    assert bare == []


def inputs(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Everything that a client can send, by place."""
    for where, parameter in parameters(document):
        yield f"{where} {parameter['name']}", parameter["schema"]
    todo = [(said["operationId"], said.get("requestBody", {})) for said in operations(document)]
    seen: set[str] = set()
    while todo:
        place, node = todo.pop()
        for part in walk(node):
            name = str(part.get("$ref", "")).rpartition("/")[2]
            if name and name not in seen:
                seen.add(name)
                todo.append((name, document["components"]["schemas"][name]))
            if "type" in part and isinstance(part["type"], str):
                yield f"{place} {part.get('description', '')}", part


def test_everything_that_can_be_sent_is_bounded(document: dict[str, Any]) -> None:
    unbounded, count = [], 0
    for place, schema in inputs(document):
        count += 1
        if schema.get("type") == "string" and not (BOUNDS & schema.keys() or schema.get("format") in FORMATS):
            unbounded.append(place)
        if schema.get("type") == "array" and "maxItems" not in schema:
            unbounded.append(place)
        if schema.get("type") == "integer" and not {"minimum", "maximum"} <= schema.keys():
            unbounded.append(place)
    assert count > 120
    assert unbounded == []


def test_the_permissions_that_are_offered_are_those_a_token_can_have() -> None:
    assert {permission.value for permission in TokenPermission} == {permission.value for permission in policy.GRANTABLE}


def test_problems_name_every_code_and_are_open_to_more(document: dict[str, Any]) -> None:
    code = document["components"]["schemas"]["Problem"]["properties"]["code"]
    assert "enum" not in code
    assert set(code["x-extensible-enum"]) >= set(document["components"]["examples"])


def test_tags_are_in_the_order_of_use_and_described(document: dict[str, Any]) -> None:
    named = [tag["name"] for tag in document["tags"]]
    assert named[:4] == ["auth", "files", "cases", "links"]
    assert all(tag["description"] for tag in document["tags"])
    assert set(named) == {tag for said in operations(document) for tag in said["tags"]}


def test_examples_of_ids_and_digests_are_some(document: dict[str, Any]) -> None:
    for schema in document["components"]["schemas"].values():
        for name, value in schema.get("example", {}).items():
            if schema["properties"].get(name, {}).get("format") == "uuid":
                assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", value)


def test_what_is_said_twice_is_shared_and_what_differs_is_not() -> None:
    def answer(text: str) -> dict[str, Any]:
        return {"description": text, "content": {"x": {"examples": {"gone": {"value": 1}}}}, "headers": {"A": {}}}

    document: dict[str, Any] = {
        "paths": {
            "/a": {"get": {"responses": {"200": {"headers": {"A": {}}}, "404": answer("a"), "405": answer("a")}}}
        },
        "components": {},
    }
    document["paths"]["/b"] = {"get": {"responses": {"404": answer("b")}}}
    share(document)
    refs = [a.get("$ref") for path in document["paths"].values() for a in path["get"]["responses"].values()]
    assert refs == [None, "#/components/responses/gone", "#/components/responses/gone", "#/components/responses/gone-2"]
    assert document["components"]["headers"] == {"A": {}}
    assert document["components"]["responses"]["gone-2"]["description"] == "b"
