"""Bodies: counted while they flow, read strictly where they are JSON, cut off where the client left."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict
from starlette.types import Message

from portal.core.buffer import Buffer
from portal.core.errors import ClientGone, TooLarge
from portal.web import errors
from portal.web.bodies import body_chunks, json_body, refuse_announced, whole_body


def request(*messages: Message, headers: dict[str, str] | None = None) -> Request:
    """A request whose body comes in these messages, and nothing after them."""
    waiting = list(messages)

    async def receive() -> Message:
        return waiting.pop(0)

    raw = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    return Request({"type": "http", "method": "PUT", "path": "/", "headers": raw}, receive)


def piece(body: bytes, *, more: bool = True) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


GONE: Message = {"type": "http.disconnect"}


async def read(chunks: AsyncIterator[Buffer]) -> list[bytes]:
    return [bytes(chunk) async for chunk in chunks]


def test_an_announced_length_over_the_limit_is_refused_before_a_byte_is_read() -> None:
    with pytest.raises(TooLarge):
        refuse_announced(request(headers={"content-length": "11"}), 10)


@pytest.mark.parametrize("headers", [{"content-length": "10"}, {"content-length": "0"}, {}])
def test_an_announced_length_within_the_limit_or_none_passes(headers: dict[str, str]) -> None:
    refuse_announced(request(headers=headers), 10)


async def test_chunks_come_as_they_arrive_without_empty_ones() -> None:
    arriving = request(piece(b"ab"), piece(b""), piece(b"c"), piece(b"", more=False))
    assert await read(body_chunks(arriving, 3)) == [b"ab", b"c"]


async def test_an_empty_body_has_no_chunks() -> None:
    assert await read(body_chunks(request(piece(b"", more=False)), 0)) == []


async def test_the_limit_is_counted_over_all_chunks() -> None:
    chunks = body_chunks(request(piece(b"ab"), piece(b"cd"), piece(b"e", more=False)), 3)
    assert await anext(chunks) == b"ab"
    with pytest.raises(TooLarge):
        await anext(chunks)


@pytest.mark.parametrize("sent", [0, 1, 2])
async def test_a_client_that_leaves_is_an_error_of_ours(sent: int) -> None:
    chunks = body_chunks(request(*(piece(b"ab") for _ in range(sent)), GONE), 100)
    assert [await anext(chunks) for _ in range(sent)] == [b"ab"] * sent
    with pytest.raises(ClientGone):
        await anext(chunks)


@pytest.mark.parametrize("sent", [0, 1])
async def test_a_client_that_leaves_in_the_middle_of_a_small_body_is_no_bug(sent: int) -> None:
    kind = {"content-type": "application/json"}
    for use in (whole_body, lambda arriving: json_body(arriving, Note)):
        with pytest.raises(ClientGone):
            await use(request(*(piece(b"{") for _ in range(sent)), GONE, headers=kind))


@pytest.mark.parametrize("announced", ["3", "5"])
async def test_a_body_that_is_not_as_long_as_announced_is_one_whose_client_left(announced: str) -> None:
    """Whatever the server makes of it."""
    chunks = body_chunks(request(piece(b"ab"), piece(b"cd", more=False), headers={"content-length": announced}), 100)
    with pytest.raises(ClientGone):
        _ = [chunk async for chunk in chunks]


class Note(BaseModel):
    model_config = ConfigDict(extra="forbid")

    text: Any = None


def app() -> FastAPI:
    made = FastAPI()

    @made.post("/notes")
    async def take(request: Request) -> dict[str, str]:
        note = await json_body(request, Note)
        return {"got": json.dumps(note.text)}

    errors.install(made, lambda _request, _error: None)
    return made


async def post(content: bytes, content_type: str = "application/json") -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app()), base_url="http://portal") as client:
        return await client.post("/notes", content=content, headers={"Content-Type": content_type})


@pytest.mark.parametrize("value", ["plain", "é🔑", 7, 1.5, True, None, [1, {"a": []}], {"a": 1, "A": 2}])
async def test_json_that_every_reader_reads_alike_is_taken(value: Any) -> None:
    answer = await post(json.dumps({"text": value}).encode())
    assert answer.status_code == 200
    assert json.loads(answer.json()["got"]) == value


BAD = {
    "half": b'{"text": ',
    "two values": b"{} {}",
    "a key twice": b'{"text": 1, "text": 2}',
    "a key twice, deep": b'{"text": [{"a": 1, "a": 1}]}',
    "a key twice, once escaped": rb'{"text": {"a": 1, "\u0061": 2}}',
    "NaN": b'{"text": NaN}',
    "Infinity": b'{"text": Infinity}',
    "minus Infinity": b'{"text": [-Infinity]}',
    "too large a number": b'{"text": 1e400}',
    "a lone surrogate": rb'{"text": "\ud800"}',
    "a lone surrogate as a key": rb'{"text": {"\udfff": 1}}',
    "5,000 digits": b'{"text": ' + b"9" * 5000 + b"}",
    "100,000 deep": b'{"text": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "not UTF-8": b'{"text": "\xff"}',
    "an encoded surrogate": b'{"text": "\xed\xa0\x80"}',
    "an overlong slash": b'{"text": "\xc0\xaf"}',
    "a byte order mark": b'\xef\xbb\xbf{"text": 1}',
    "UTF-16": '{"text": 1}'.encode("utf-16"),
    "UTF-16 without a mark": '{"text": 1}'.encode("utf-16-le"),
    "a comment": b'{"text": 1 /* one */}',
    "single quotes": b"{'text': 1}",
    "a raw line break": b'{"text": "a\nb"}',
}


@pytest.mark.parametrize("content", BAD.values(), ids=BAD)
async def test_json_that_readers_read_differently_or_not_at_all_is_malformed(content: bytes) -> None:
    answer = await post(content)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_input")
    assert answer.headers["content-type"] == "application/problem+json"


async def test_no_body_at_all_is_malformed() -> None:
    assert (await post(b"")).json()["code"] == "invalid_input"


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
async def test_json_under_another_name_is_not_read(content_type: str) -> None:
    assert (await post(b'{"text": 1}', content_type)).status_code in {415, 422}


@given(st.binary(max_size=60) | st.text(st.sampled_from('{}[]":,\\u0d8 1eNa'), max_size=40).map(str.encode))
async def test_any_bytes_are_taken_or_refused_and_never_a_bug(content: bytes) -> None:
    assert (await post(content)).status_code in {200, 400, 422}
