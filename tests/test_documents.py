"""What the documents show and fill in is what the portal takes."""

from hashlib import sha256
from typing import Any

from portal import config
from portal.app import create_app

from .conftest import NO_DOTENV
from .openapi_document import parameters_of


def test_the_example_of_a_page_is_one() -> None:
    keys = {f"PORTAL_{name}": sha256(name.encode()).hexdigest() for name in ("MASTER_KEY", "SECRET_KEY")}
    document = create_app(*config.load(keys, NO_DOTENV)).openapi()
    page = document["components"]["schemas"]["FilePage"]
    assert set(page["required"]) <= set(page["example"])


def said(path: str, method: str) -> dict[str, Any]:
    keys = {f"PORTAL_{name}": sha256(name.encode()).hexdigest() for name in ("MASTER_KEY", "SECRET_KEY")}
    document = create_app(*config.load(keys, NO_DOTENV)).openapi()
    operation: dict[str, Any] = document["paths"][path][method]
    return operation | {"parameters": parameters_of(operation, document)}


def test_a_form_as_the_documents_fill_it_in_is_taken() -> None:
    schema = said("/api/v1/files", "post")["requestBody"]["content"]["multipart/form-data"]["schema"]
    filled_in = {name: field.get("default", field.get("example")) for name, field in schema["properties"].items()}
    assert (filled_in["sha256"], filled_in["description"], filled_in["kind"]) == ("", "", "other")


def test_a_download_as_the_documents_fill_it_in_is_whole() -> None:
    parameters = said("/api/v1/files/{file_id}/content", "get")["parameters"]
    (wanted,) = [parameter for parameter in parameters if parameter["name"] == "Range"]
    assert not {"example", "examples"} & set(wanted)
