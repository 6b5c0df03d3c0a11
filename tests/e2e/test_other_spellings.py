"""Other spellings of a path or an id open nothing: ids decide who may do what, and no path is put in order first."""

from collections.abc import Iterator

import httpx
import pytest

from .matrix_world import CONTENT, MARK, World, opened
from .raw import Wire, head
from .seen import problem

API = "/api/v1"
SPELLINGS = (
    "/api/v1/files/ID/content",
    "//api/v1/files/ID/content",
    "/api/v1//files/ID/content",
    "/api/v1/files//ID/content",
    "/api/v1/files/ID//content",
    "/api/v1/files/ID/content/",
    "/API/v1/files/ID/content",
    "/api/v1/files/./ID/content",
    "/api/v1/files/%2e/ID/content",
    "/api/v1/files/x/../ID/content",
    "/api/v1/files/x/%2e%2e/ID/content",
    "/api/v1/files/x%2f..%2fID/content",
    "/api/v1/files%2fID%2fcontent",
    "/api/v1/files/ID%2fcontent",
    "/api/v1/files/ID;x/content",
    "/api/v1/files/ID%00/content",
    "/api/v1/files/ID%20/content",
    "/api/v1/files/ID%0a/content",
    "/api/v1/files/ID\\content",
    "/api/v1/files/{ID}/content",
    "/api/v1/files/urn:uuid:ID/content",
    "/api/v1/shared/../files/ID/content",
    "/api/v1/shared/%2e%2e/files/ID/content",
    "/api/v1/shared/files/../../files/ID/content",
    "/api/v1/shared/files/OFFERED/../ID/content",
    "/api/v1/shared/files/OFFERED%2f..%2fID/content",
    "/healthz/../api/v1/files/ID/content",
    "/docs/..%2fapi/v1/files/ID/content",
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with opened(tmp_path_factory.mktemp("spelled")) as world:
        yield world


def ask(world: World, who: str, target: str, method: str = "GET") -> httpx.Response:
    """As it is spelled: a client would put it in order."""
    signed = [f"{name}: {value}" for name, value in world.clients[who].headers.items() if name == "authorization"]
    with Wire(world.portal.port) as wire:
        wire.send(head(method, target, *signed))
        return wire.answer()


def spelled(world: World, spelling: str) -> str:
    return spelling.replace("ID", world.shared["inbox_file"]).replace("OFFERED", world.shared["case_file"])


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("who", ["anon", "othr", "lead", "conf", "upto", "dlnk", "ulnk"])
def test_no_spelling_opens_what_is_closed(world: World, spelling: str, who: str) -> None:
    answer = ask(world, who, spelled(world, spelling))
    assert problem(answer)[0] in {400, 401, 403, 404, 422}
    assert CONTENT not in answer.text
    assert MARK not in answer.text


def test_to_its_owner_too_a_file_is_only_where_its_path_and_id_lead_once_decoded(world: World) -> None:
    plain, *others = SPELLINGS
    assert ask(world, "own", spelled(world, plain)).text == CONTENT
    opened_by = {spelling for spelling in others if ask(world, "own", spelled(world, spelling)).is_success}
    assert opened_by == {
        "/api/v1/files%2fID%2fcontent",
        "/api/v1/files/ID%2fcontent",
    }


def test_another_spelling_of_an_id_is_the_same_file_or_none(world: World) -> None:
    file_id = world.shared["inbox_file"]
    same, none = [file_id.upper(), file_id.replace("-", "")], [file_id[:-1], file_id + "0", file_id.replace("-", "/")]
    for spelling in same + none:
        path = f"{API}/files/{spelling}"
        assert ask(world, "own", path).is_success == (spelling in same)
        for who in ("othr", "conf"):
            assert problem(ask(world, who, path))[0] == 404


def test_a_link_to_what_is_not_there_yet_cannot_be_made(world: World) -> None:
    lead = world.clients["lead"]
    for place in ({"file_ids": ["0190f3a2-7c11-7d53-8e0c-5a1d2f3b4c5d"]}, {"case_id": world.shared["inbox_file"]}):
        assert problem(lead.post("/links/download", json=place)) == (404, "not_found")
    for paths in ({"paths": ["/"]}, {"file_ids": [".."]}, {"file_ids": ["*"]}, {"case_id": "../1"}):
        assert problem(lead.post("/links/download", json=paths)) == (422, "validation_failed")
