"""Right tests for heads and forms that are read too kindly: each fails until `src` is mended."""

from collections.abc import AsyncIterator, Iterable
from hashlib import sha256
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from portal import config
from portal.app import create_app
from portal.core.errors import InvalidInput
from portal.web import errors
from portal.web.middleware import Gate, client_address
from portal.web.multipart import MultipartForm


async def hello(over: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("hello")(over, receive, send)


async def status(host: bytes = b"portal.example", query: bytes = b"", *headers: tuple[bytes, bytes]) -> int:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    over: dict[str, Any] = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "path": "/",
        "raw_path": b"/",
        "query_string": query,
        "headers": [(b"host", host), *headers],
        "state": {"request_id": "an id"},
    }
    await Gate(hello, ["portal.example", "[::1]"])(over, receive, send)
    return int(sent[0]["status"])


@pytest.mark.parametrize("host", [b"portal.example:80@evil.example", b"portal.example:/admin?", b"[::1]evil.example"])
async def test_what_follows_the_host_is_a_port_or_refused(host: bytes) -> None:
    assert await status(host) == 400


@pytest.mark.parametrize("query", [b"limit=1&%6cimit=2", b"a+b=1&a%20b=2"])
async def test_a_parameter_twice_is_refused_however_it_is_escaped(query: bytes) -> None:
    assert await status(query=query) == 422


@pytest.mark.parametrize("length", [b"+3", b"-1", b"1_0", b"3, 3", b"", b"0x3", b"9" * 5000])
async def test_a_length_that_is_no_number_is_refused(length: bytes) -> None:
    assert await status(b"portal.example", b"", (b"content-length", length)) == 400


@pytest.mark.parametrize("claimed", [b"fe80::1%<script>", b"2001:db9::1%0, 10.0.0.2"])
def test_an_address_with_a_zone_is_believed_of_nobody(claimed: bytes) -> None:
    over = {"client": ("10.0.0.1", 1), "headers": [(b"x-forwarded-for", claimed)]}
    assert "%" not in str(client_address(over, [ip_network("10.0.0.0/8")]))


def test_an_ipv4_proxy_is_trusted_on_a_dual_stack_socket() -> None:
    over = {"client": ("::ffff:10.0.0.1", 1), "headers": [(b"x-forwarded-for", b"6.6.6.6")]}
    assert client_address(over, [ip_network("10.0.0.0/8")]) == "6.6.6.6"


async def pieces(chunks: Iterable[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def filename(chunks: Iterable[bytes]) -> str | None:
    form = MultipartForm(
        "multipart/form-data; boundary=B", pieces(chunks), file_field="file", fields=frozenset({"kind"})
    )
    try:
        await form.open_file()
    except InvalidInput:
        return None
    return form.filename


def form(name: bytes) -> bytes:
    return b'--B\r\nContent-Disposition: form-data; name="file"; filename="' + name + b'"\r\n\r\nc\r\n--B--'


async def test_text_before_the_form_is_read_the_same_whatever_the_cuts() -> None:
    body = b"\r\npreamble\r\n" + form(b"a")
    assert await filename([body]) == await filename([body[:5], body[5:]])


@pytest.mark.parametrize("name", [r"C:\cases\7\disk.img", r"\\server\share\disk.img"])
async def test_a_windows_path_is_kept_as_the_uploader_called_it(name: str) -> None:
    assert await filename([form(name.encode())]) == name


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")


async def test_the_name_of_an_unknown_field_is_not_repeated() -> None:
    app = FastAPI()

    @app.post("/")
    async def take(body: Closed) -> None:
        """Takes nothing."""

    errors.install(app)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://portal") as client:
        answer = await client.post("/", json={"c4n4ry <img src=x>": 1})
    assert answer.status_code == 422
    assert "c4n4ry" not in answer.text


@pytest.mark.parametrize("path", ["/api/v1/files", "/api/v1/upload/{filename}"])
def test_an_upload_documents_every_code_of_422(path: str) -> None:
    keys = {f"PORTAL_{name}": sha256(name.encode()).hexdigest() for name in ("MASTER_KEY", "SECRET_KEY")}
    paths = create_app(*config.load(keys, Path("/nonexistent/.env"))).openapi()["paths"]
    (said,) = [paths[path][method]["responses"]["422"] for method in ("post", "put") if method in paths[path]]
    assert {"unprocessable", "idempotency_mismatch"} <= set(said["content"]["application/problem+json"]["examples"])
