"""How much may be handed in: judged by what is announced before the first byte, else by what comes."""

import secrets
from collections.abc import Iterator

import httpx
import pytest

from .conftest import Served
from .raw import FORM, Wire, bearer, chunk, form_end, head, length, part
from .seen import eventually, kept, known, problem, statuses

LIMIT = 64 << 20  # of the portal that tests share
FORM_ROOM = 1 << 20  # what a form may have beyond its file
PIECE = bytes(1 << 20)


@pytest.mark.parametrize("expect", ["", "Expect: 100-continue"], ids=["sent at once", "asked first"])
@pytest.mark.parametrize(
    ("method", "target", "size"),
    [
        ("PUT", "/upload/a.bin", LIMIT + 1),
        ("PUT", "/upload/a.bin", (1 << 44) + 1),
        ("PUT", "/upload/a.bin", 1 << 62),
        ("POST", "/files", LIMIT + FORM_ROOM + 1),
    ],
)
def test_an_announced_length_over_the_limit_is_refused_before_the_body(
    portal: Served, analyst: httpx.Client, method: str, target: str, size: int, expect: str
) -> None:
    headers = [bearer(analyst), FORM, length(size), *([expect] if expect else [])]
    with Wire(portal.port) as wire:
        wire.send(head(method, f"/api/v1{target}", *headers))
        answer = wire.answer()
        assert problem(answer) == (413, "too_large")
        assert answer.headers["connection"] == "close"
        assert wire.ended()


def test_who_asks_first_is_told_to_go_on(portal: Served, analyst: httpx.Client) -> None:
    with Wire(portal.port) as wire:
        target = f"/api/v1/upload/{secrets.token_hex(8)}"
        wire.send(head("PUT", target, bearer(analyst), length(7), "Expect: 100-continue"))
        assert wire.answer().status_code == 100
        wire.send(b"content")
        assert wire.answer().status_code == 201


def test_a_file_of_exactly_the_limit_passes(analyst: httpx.Client) -> None:
    created = analyst.put("/upload/full.bin", content=bytes(LIMIT))
    assert (created.status_code, created.json()["size"]) == (201, LIMIT)
    assert analyst.delete(f"/files/{created.json()['id']}", headers={"If-Match": "*"}).status_code == 204


@pytest.mark.parametrize("way", ["raw", "form"])
def test_an_unannounced_body_is_counted_and_cut_off(portal: Served, analyst: httpx.Client, way: str) -> None:
    name = secrets.token_hex(8)
    method, target = ("PUT", f"/upload/{name}") if way == "raw" else ("POST", "/files")
    start, kind = (part("file", b"", filename=name)[:-2], [FORM]) if way == "form" else (b"", [])
    with Wire(portal.port) as wire:
        wire.send(head(method, f"/api/v1{target}", bearer(analyst), *kind, "Transfer-Encoding: chunked"))
        wire.send(*([chunk(start)] if start else []))
        for _ in range(LIMIT // len(PIECE)):
            wire.send(chunk(PIECE))
        wire.send(chunk(b"x" * 100))
        answer = wire.answer()
        assert problem(answer) == (413, "too_large")
        assert answer.headers["connection"] == "close"
        assert wire.ended()
    assert eventually(lambda: statuses(portal, name) == ["failed"])
    assert eventually(lambda: kept(portal) == known(portal))
    assert analyst.get("/files", params={"name": name}).json()["items"] == []


def test_an_announced_form_whose_file_alone_is_too_large_is_cut_off(portal: Served, analyst: httpx.Client) -> None:
    name = secrets.token_hex(8)

    def body() -> Iterator[bytes]:
        yield start
        for _ in range(LIMIT // len(PIECE)):
            yield PIECE
        yield end

    start, end = part("file", b"", filename=name)[:-2], b"x\r\n" + form_end()
    headers = dict([FORM.split(": ", 1)]) | {"Content-Length": str(len(start) + LIMIT + len(end))}
    answer = analyst.post("/files", content=body(), headers=headers)
    assert problem(answer) == (413, "too_large")
    assert eventually(lambda: statuses(portal, name) == ["failed"])
    assert eventually(lambda: kept(portal) == known(portal))


def test_a_refused_request_leaves_the_portal_ready_for_the_next(portal: Served, analyst: httpx.Client) -> None:
    with Wire(portal.port) as wire:
        wire.send(head("PUT", "/api/v1/upload/a.bin", bearer(analyst), length(LIMIT + 1)), bytes(1 << 16))
        assert wire.answer().status_code == 413
    assert analyst.put("/upload/b.bin", content=b"fine").status_code == 201


MISTYPED = {
    "without a name": ("PUT", "/api/v1/upload", "PUT /api/v1/upload/{filename}"),
    "in the plural": ("PUT", "/api/v1/uploads/disk.img", "PUT /api/v1/upload/{filename}"),
    "a form with a slash": ("POST", "/api/v1/files/", "POST /api/v1/files"),
}


@pytest.mark.parametrize(("method", "path", "meant"), MISTYPED.values(), ids=MISTYPED)
@pytest.mark.parametrize("size", [3, 5 << 20, 1 << 40])
def test_a_mistyped_path_is_not_there_however_large_the_body(
    portal: Served, analyst: httpx.Client, method: str, path: str, meant: str, size: int
) -> None:
    with Wire(portal.port) as wire:
        wire.send(head(method, path, bearer(analyst), length(size)), b"abc")
        answer = wire.answer()
        assert problem(answer) == (404, "not_found")
        assert f"Did you mean {meant}?" in answer.json()["detail"]
        assert answer.headers["connection"] == "close"
        assert wire.ended()


def test_another_method_is_refused_before_the_size(portal: Served, analyst: httpx.Client) -> None:
    with Wire(portal.port) as wire:
        wire.send(head("PUT", "/api/v1/files", bearer(analyst), length(5 << 20)))
        assert problem(wire.answer()) == (405, "method_not_allowed")
