"""What is not the client's to say: one field too many in any JSON body, one parameter too many in any query."""

from collections.abc import Iterator
from typing import Any

import pytest

from ..openapi_document import parameters_of
from .matrix_asks import app, question, routes, written
from .matrix_table import ROWS
from .matrix_world import Objects, World
from .seen import problem

NOT_THEIRS: dict[str, Any] = {
    "id": "0190f3a2-7c11-7d53-8e0c-5a1d2f3b4c5d",
    "owner_id": "0190f3a2-7c11-7d53-8e0c-5a1d2f3b4c5d",
    "user_id": "0190f3a2-7c11-7d53-8e0c-5a1d2f3b4c5d",
    "created_by": "0190f3a2-7c11-7d53-8e0c-5a1d2f3b4c5d",
    "case_id": "0190f3a2-7c11-7d53-8e0c-5a1d2f3b4c5d",
    "role": "admin",
    "is_admin": True,
    "version": 7,
    "created_at": "2000-01-01T00:00:00Z",
    "sha256": "0" * 64,
    "scan_verdict": "clean",
    "storage_path": "/etc/passwd",
    "password_hash": "x",
    "number": "2000-0001",
    "used": -5,
    "__class__": "x",
}
TURNED_AWAY = {"401", "404", "less"}


def bodies() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every operation that takes JSON, and the schema of it."""
    document = app().openapi()
    for said in (said for verbs in document["paths"].values() for said in verbs.values()):
        content = said.get("requestBody", {}).get("content", {})
        if "application/json" in content:
            name = content["application/json"]["schema"]["$ref"].rpartition("/")[2]
            yield said["operationId"], document["components"]["schemas"][name]


def queries() -> Iterator[str]:
    """Every operation that reads a query, or says that it takes none."""
    document = app().openapi()
    for said in (said for verbs in document["paths"].values() for said in verbs.values()):
        if any(parameter["in"] == "query" for parameter in parameters_of(said, document)):
            yield said["operationId"]
    yield "upload_shared_file"


BODIES, QUERIES = dict(bodies()), sorted(queries())


def who_may(operation: str) -> tuple[str, str]:
    """A row of the operation, and a caller who gets furthest with it."""
    asked = [row for row in ROWS if row.split(maxsplit=1)[0] == operation]
    cells = ((cell, row, who) for row in asked for who, cell in ROWS[row].items() if cell not in TURNED_AWAY)
    _, row, who = min(cells, key=lambda found: (found[0] == "403", found))
    return row, who


@pytest.mark.parametrize("operation", BODIES)
def test_one_field_too_many_is_refused_and_nothing_changes(world: World, operation: str) -> None:
    row, who = who_may(operation)
    said = question(row, Objects(world, who, world.shared))
    before = written(world)
    fields = NOT_THEIRS.keys() - BODIES[operation]["properties"].keys()
    assert len(fields) > len(NOT_THEIRS) - 3
    for field in fields:
        body = said.says["json"] | {field: NOT_THEIRS[field]}
        answer = said.ask(world.clients[who], json=body)
        assert (field, *problem(answer)) == (field, 422, "validation_failed")
    assert written(world) == before


@pytest.mark.parametrize("operation", QUERIES)
def test_one_parameter_too_many_is_refused_and_nothing_changes(world: World, operation: str) -> None:
    row, who = who_may(operation)
    said = question(row, Objects(world, who, world.shared))
    before = written(world)
    for name in ("is_admin", "all", "user_id", "Limit", "sort"):
        answer = said.ask(world.clients[who], params={**said.says.get("params", {}), name: "admin"})
        assert (name, *problem(answer)) == (name, 422, "validation_failed")
    assert written(world) == before


def test_every_body_and_query_of_the_document_is_among_them() -> None:
    assert {schema["additionalProperties"] for schema in BODIES.values()} == {False}
    changing = {name for name, (method, _) in routes().items() if method in {"POST", "PUT", "PATCH"}}
    without_json = changing - BODIES.keys()
    assert without_json == {
        *("create_token", "logout", "logout_all", "logout_user", "reset_password", "reset_totp"),
        *(
            "revoke_all",
            "revoke_all_of_user",
            "cancel_job",
            "retry_job",
            "verify_keys",
            "approve_request",
            "refuse_request",
        ),
        *("upload_file", "upload_raw", "upload_shared_file", "upload_shared_raw"),
    }
    assert {"list_files", "list_cases", "list_users", "list_links", "read_shared"} <= set(QUERIES)
