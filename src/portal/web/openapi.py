"""The OpenAPI document: FastAPI's, completed, in a form that every generator understands.

Comes in: the app. Leaves: the document. Each operation lists its errors, its permission and its rate. Parameters are
never null. Only the OAuth2 security scheme has scopes, as linters demand. An operation that no API token may call does
not list that scheme. Next: `components` shares repeated parts; `docs_pages` serves the document.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.encoders import jsonable_encoder
from fastapi.openapi.utils import get_openapi
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel

from portal.core.errors import InvalidInput
from portal.core.rates import RouteClass
from portal.web import components, descriptions
from portal.web.bodies import parsed_by
from portal.web.errors import PROBLEM_JSON, Problem, ValidationFailed, documented
from portal.web.framing import TargetTooLong
from portal.web.limits import classes_of, document_limits
from portal.web.routing import Asked, asked_by

_IF_MATCH = r'^("(0|[1-9]\d{0,8})"|\*)$'  # the only values that can match
_LONG = 500  # characters; percent-encoded, each takes up to twelve bytes
_FRAMEWORKS = ("HTTPValidationError", "ValidationError")  # FastAPI's 422 schemas; the portal's is a problem document
_SIGN_IN_ONLY = {"account", "admin"}  # permissions that no API token has
_REQUEST_ID = {
    "required": True,
    "schema": {"type": "string", "format": "uuid"},
    "description": "Names this request in the portal's log.",
}


def document_of(app: FastAPI, *, description: str, tags: dict[str, str]) -> dict[str, Any]:
    """The document of the routes that the app has now: call it after the last one was added."""
    classes, bodies, asked = classes_of(app.routes), _bodies_of(app), _asked_of(app)
    document = get_openapi(
        title=app.title,
        version=app.version,
        description=description,
        routes=app.routes,
        servers=[{"url": "/"}],
        tags=[{"name": name, "description": text} for name, text in tags.items()],
        contact={"name": "Whoever operates this portal"},
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    _add_models(document, (Problem, *bodies.values()))
    for operation in operations(document):
        name = operation["operationId"]
        if name in bodies:
            operation.setdefault("requestBody", _taken_as_json(bodies[name]))
        _declare_security(document, operation, asked.get(name))
        _complete(operation, classes[name])
    for schema in document["components"]["schemas"].values():
        _tidy(schema)
    _name_codes(document)
    components.share(document)
    return document


def operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every operation of the document."""
    for methods in document["paths"].values():
        yield from methods.values()


def _bodies_of(app: FastAPI) -> dict[str, type[BaseModel]]:
    """The body models that dependencies parse, by route name."""
    parsed = {route.name or "": parsed_by(route.dependant) for route in iter_route_contexts(app.routes)}
    return {name: model for name, model in parsed.items() if model is not None}


def _asked_of(app: FastAPI) -> dict[str, Asked]:
    """What each route asks of its caller, by route name."""
    asked = {route.name or "": asked_by(route.dependant) for route in iter_route_contexts(app.routes)}
    return {name: one for name, one in asked.items() if one is not None}


def _declare_security(document: dict[str, Any], operation: dict[str, Any], asked: Asked | None) -> None:
    """Name the security schemes that the caller of the operation may use, each with the scopes that it needs."""
    for scheme in asked.schemes if asked else ():
        operation.setdefault("security", []).append({scheme.scheme_name: list(asked.scopes if asked else ())})
        schemes = document["components"].setdefault("securitySchemes", {})
        schemes[scheme.scheme_name] = jsonable_encoder(scheme.model, by_alias=True, exclude_none=True)


def _taken_as_json(model: type[BaseModel]) -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _add_models(document: dict[str, Any], models: Iterable[type[BaseModel]]) -> None:
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for name in _FRAMEWORKS:
        schemas.pop(name, None)
    for model in models:
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= schema.pop("$defs", {})
        schemas[model.__name__] = schema


def _complete(operation: dict[str, Any], route_class: RouteClass | None) -> None:
    answers = operation["responses"]
    if "application/json" in answers.get("422", {}).get("content", {}):
        del answers["422"]
    if "requestBody" in operation or not all(map(_is_id, operation.get("parameters", ()))):
        _add_answers(answers, documented(ValidationFailed))
    gate = documented(InvalidInput, TargetTooLong) if _can_be_long(operation) else documented(InvalidInput)
    for status, answer in gate.items():
        answers.setdefault(str(status), answer)
    document_limits(operation, route_class)
    for answer in answers.values():
        answer["headers"] = answer.get("headers", {}) | {"X-Request-ID": _REQUEST_ID}
    for parameter in operation.get("parameters", ()):
        _settle(parameter, changes="428" in answers)
    _say_permissions(operation)


def _is_id(parameter: dict[str, Any]) -> bool:
    """Whether the parameter is a UUID in the path. With any other text the path matches no route: 404, never 422."""
    return bool(parameter["in"] == "path" and parameter["schema"].get("format") == "uuid")


def _can_be_long(operation: dict[str, Any]) -> bool:
    """Whether path and query, within the document's bounds, can exceed the length limit of a request target."""
    places = [one for one in operation.get("parameters", ()) if one["in"] in {"path", "query"}]
    return any(one["schema"].get("maxLength", 0) >= _LONG for one in places)


def _add_answers(answers: dict[str, Any], more: dict[int | str, dict[str, Any]]) -> None:
    """Add `more` responses, and their examples, to those that the route declares itself."""
    for status, answer in more.items():
        known = answers.setdefault(str(status), answer)
        if known is not answer:
            examples = answer["content"][PROBLEM_JSON]["examples"]
            known["content"][PROBLEM_JSON]["examples"] = known["content"][PROBLEM_JSON]["examples"] | examples
            known["description"] += f" {answer['description']}"


def _settle(parameter: dict[str, Any], *, changes: bool) -> None:
    """Remove null, which a query cannot express; make If-Match required where a change needs it; add a description."""
    schema = parameter["schema"]
    kinds = [kind for kind in schema.pop("anyOf", ()) if kind.get("type") != "null"]
    schema |= kinds[0] if len(kinds) == 1 else {"anyOf": kinds} if kinds else {}
    if schema.get("default", ...) is None:
        del schema["default"]
    if not parameter.get("required", True):
        del parameter["required"]  # false is the default
    if parameter["name"] == "If-Match" and changes:
        parameter |= {"required": True, "schema": {"type": "string", "pattern": _IF_MATCH}}
    _tidy(schema)
    told = (
        parameter.get("description")
        or schema.pop("description", None)
        or descriptions.PARAMETERS.get(parameter["name"])
    )
    schema.pop("description", None)
    if told:
        parameter["description"] = told


def _tidy(schema: dict[str, Any]) -> None:
    """Remove the titles that pydantic derives from names; add the shared description of a field that has none."""
    if isinstance(schema.get("title"), str):
        del schema["title"]
    for name, field in schema.get("properties", {}).items():
        _tidy(field)
        if "$ref" not in field and name in descriptions.FIELDS:
            field.setdefault("description", descriptions.FIELDS[name])
    for part in ([schema["items"]] if "items" in schema else []) + schema.get("anyOf", []):
        _tidy(part)


def _say_permissions(operation: dict[str, Any]) -> None:
    asked = operation.setdefault("security", [])
    scopes = sorted({scope for entry in asked for named in entry.values() for scope in named})
    if scopes:
        alone = " No API token has it." if _SIGN_IN_ONLY.intersection(scopes) else ""
        operation["description"] += f"\n\nPermission: `{'`, `'.join(scopes)}`.{alone}"
    kept = [entry for entry in asked if "api_token" not in entry or not _SIGN_IN_ONLY.intersection(scopes)]
    operation["security"] = [{name: named if name == "password" else [] for name, named in e.items()} for e in kept]


def _name_codes(document: dict[str, Any]) -> None:
    """List every error code with an example in the document, as `x-extensible-enum`. Not as `enum`: clients must accept
    codes that are added later.
    """
    codes: set[str] = {"internal_error", "method_not_allowed", "head_too_large"}
    for operation in operations(document):
        for answer in operation["responses"].values():
            codes |= answer.get("content", {}).get(PROBLEM_JSON, {}).get("examples", {}).keys()
    document["components"]["schemas"]["Problem"]["properties"]["code"]["x-extensible-enum"] = sorted(codes)
