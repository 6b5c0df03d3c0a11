"""The words of the API are a dictionary: one word for one thing, in every operation, parameter and field.

`docs/glossary.md` says what each means. SDKs freeze them: a new word needs its line there.
"""

import re
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import pytest

from portal import config
from portal.app import create_app

from .conftest import NO_DOTENV
from .openapi_document import parameters_of

VERBS = {"list", "read", "create", "update", "delete", "revoke"}
"""What is done to things that the API keeps."""
ACTS = {"upload", "download", "head", "move", "transfer", "redeem", "register", "confirm", "reset", "set", "logout"}
ACTS |= {"cancel", "reencrypt", "reseal", "retry", "rewrap", "rotate", "shred", "verify", "approve", "refuse"}
"""What is done beside that."""
PROBES = {"healthz", "readyz"}
INPUTS, OUTPUTS = re.compile(r"\w+(Create|Update|Request)"), re.compile(r"\w+(Out|Page|Created)")
SAID_OTHERWISE = {
    "case": "case_id",
    "state": "status",
    "hours": "expires_in_hours",
    "expires_in_days": "expires_in_hours",
    "ended_at": "revoked_at",
}
BY = {"created_by": "an account's id", "uploaded_by": "an actor, as the audit log writes it"}
BY |= dict.fromkeys(("requested_by", "approved_by"), BY["uploaded_by"])


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    keys = {f"PORTAL_{name}": sha256(name.encode()).hexdigest() for name in ("MASTER_KEY", "SECRET_KEY")}
    return create_app(*config.load(keys, NO_DOTENV)).openapi()


def operations(document: dict[str, Any]) -> list[dict[str, Any]]:
    found = [operation for verbs in document["paths"].values() for operation in verbs.values()]
    assert len(found) > 60
    return found


def words(document: dict[str, Any]) -> Iterator[str]:
    """Every name that a client writes or reads: of a parameter, a JSON field, a field of a form."""
    for schema in document["components"]["schemas"].values():
        yield from schema.get("properties", ())
    for operation in operations(document):
        yield from (parameter["name"] for parameter in parameters_of(operation, document))
        for content in operation.get("requestBody", {}).get("content", {}).values():
            yield from content["schema"].get("properties", ())


def named(content: dict[str, Any]) -> str:
    return str(content["application/json"]["schema"]["$ref"]).rpartition("/")[2]


def test_no_name_is_another_word_for_one_that_there_is(document: dict[str, Any]) -> None:
    assert [word for word in words(document) if word in SAID_OTHERWISE] == []


def test_of_an_account_that_did_something_there_is_one_word(document: dict[str, Any]) -> None:
    assert {word for word in words(document) if word.endswith("_by")} == set(BY)
    names = {word.removesuffix("_name") for word in words(document) if word.endswith("_by_name")}
    assert names <= set(BY)


def test_a_lifetime_is_in_hours_and_ends_at_one_word(document: dict[str, Any]) -> None:
    lifetimes = {word for word in words(document) if word.startswith("expires_")}
    assert lifetimes == {"expires_in", "expires_in_hours", "expires_at"}  # `expires_in` is RFC 6749's


def test_an_operation_is_named_by_a_verb_of_the_dictionary(document: dict[str, Any]) -> None:
    ids = {operation["operationId"] for operation in operations(document)} - PROBES
    assert {name.partition("_")[0] for name in ids} == VERBS | ACTS


def test_what_is_sent_and_what_is_answered_is_named_by_its_kind(document: dict[str, Any]) -> None:
    for operation in operations(document):
        sent = operation.get("requestBody", {}).get("content", {})
        if "application/json" in sent:
            assert INPUTS.fullmatch(named(sent)), operation["operationId"]
        for status, answer in operation["responses"].items():
            if status < "300" and "application/json" in answer.get("content", {}):
                assert OUTPUTS.fullmatch(named(answer["content"])), operation["operationId"]


def test_every_listing_is_a_page_and_every_page_has_the_same_fields(document: dict[str, Any]) -> None:
    listings = [operation for operation in operations(document) if operation["operationId"].startswith("list_")]
    assert len(listings) > 12
    for operation in listings:
        name = named(operation["responses"]["200"]["content"])
        assert name.endswith("Page")
        assert set(document["components"]["schemas"][name]["properties"]) == {"items", "next_cursor"}
    for name, schema in document["components"]["schemas"].items():
        assert ("items" in schema.get("properties", {})) is name.endswith("Page"), name


def test_a_query_asks_for_a_page_by_the_same_two_words(document: dict[str, Any]) -> None:
    for operation in operations(document):
        asked = {one["name"] for one in parameters_of(operation, document) if one["in"] == "query"}
        assert ("limit" in asked) <= ("cursor" in asked)


def test_every_id_is_a_uuid(document: dict[str, Any]) -> None:
    for operation in operations(document):
        for parameter in parameters_of(operation, document):
            if parameter["name"].endswith("_id"):
                assert parameter["schema"].get("format") == "uuid", operation["operationId"]
            elif parameter["in"] == "path":
                assert parameter["name"] == "filename"
