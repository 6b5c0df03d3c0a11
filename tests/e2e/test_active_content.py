"""Content that a browser would run: whatever it is and whatever it is called, it comes back as dead bytes."""

import io
import secrets
import zipfile
from typing import Any

import httpx
import pytest

from portal.web.middleware import POLICY

from .conftest import Served
from .raw import FORM, Wire, bearer, form_end, head, length, part

SCRIPT = b"<script>alert(document.domain)</script>"


def epub() -> bytes:
    """A zip that begins as an EPUB does, with a page that runs something."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("mimetype", "application/epub+zip")
        archive.writestr("page.xhtml", SCRIPT)
    return packed.getvalue()


ACTIVE: dict[str, tuple[str, bytes]] = {
    "HTML": ("text/html", b"<!doctype html><html><body>" + SCRIPT),
    "HTML in the first half kilobyte of a text": ("text/plain", b"\n" * 400 + b"<html>" + SCRIPT + b"plain " * 500),
    "SVG": ("image/svg+xml", b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)">' + SCRIPT + b"</svg>"),
    "XHTML": ("application/xhtml+xml", b'<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml">' + SCRIPT),
    "XML with a style that runs": (
        "text/xml",
        b'<?xml version="1.0"?><?xml-stylesheet href="a.xsl" type="text/xsl"?><a/>',
    ),
    "MHTML": ("multipart/related", b"MIME-Version: 1.0\r\nContent-Type: text/html\r\n\r\n<html>" + SCRIPT),
    "PDF": ("application/pdf", b"%PDF-1.7\n1 0 obj<</OpenAction<</S/JavaScript/JS(app.alert\\(1\\))>>>>endobj"),
    "EPUB": ("application/epub+zip", epub()),
    "Markdown": ("text/markdown", b"[x](javascript:alert(1))\n\n" + SCRIPT),
    "JavaScript": ("text/javascript", b"alert(1)"),
    "a GIF that is JavaScript": ("image/gif", b"GIF89a/*" + bytes(20) + b"*/=1;alert(1)"),
    "a PDF that is a zip": ("application/pdf", b"%PDF-1.7\n" + epub()),
    "a shortcut": ("application/internet-shortcut", b"[InternetShortcut]\r\nURL=file://evil.example/x\r\n"),
}
DEAD = {
    "content-type": "application/octet-stream",
    "x-content-type-options": "nosniff",
    "content-security-policy": POLICY,
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store, private",
    "x-frame-options": "DENY",
}


def is_dead(answer: httpx.Response) -> bool:
    return answer.headers.items() >= DEAD.items() and answer.headers["content-disposition"].startswith("attachment; ")


@pytest.mark.parametrize(("declared", "content"), ACTIVE.values(), ids=ACTIVE)
@pytest.mark.parametrize("way", ["form", "raw"])
def test_active_content_comes_back_as_dead_bytes(
    analyst: httpx.Client, way: str, declared: str, content: bytes
) -> None:
    name = f"{secrets.token_hex(4)}.html"
    if way == "form":
        created = analyst.post("/files", files={"file": (name, content, declared)})
    else:
        created = analyst.put(f"/upload/{name}", content=content, headers={"Content-Type": declared})
    target = f"/files/{created.json()['id']}/content"
    asked = {"Accept": "text/html,application/xhtml+xml", "Sec-Fetch-Dest": "iframe", "Sec-Fetch-Mode": "navigate"}
    whole = analyst.get(target, headers=asked)
    assert (whole.status_code, whole.content) == (200, content)
    start = analyst.get(target, headers=asked | {"Range": "bytes=0-"})
    assert (start.status_code, start.content) == (206, content)
    assert all(is_dead(answer) for answer in (whole, start, analyst.head(target, headers=asked)))
    assert analyst.get(f"/files/{created.json()['id']}").headers["content-type"] == "application/json"


def stored_type(portal: Served, client: httpx.Client, line: bytes) -> Any:
    """What the entry says of a file whose part of a form has this line as its type, and that it comes back dead."""
    body = part("file", b"\xff\xd8\xff\xe0", filename="a.jpg").replace(b"\r\n\r\n", b"\r\n" + line + b"\r\n\r\n", 1)
    with Wire(portal.port) as wire:
        wire.send(head("POST", "/api/v1/files", bearer(client), FORM, length(len(body + form_end()))), body, form_end())
        created = wire.answer()
    assert created.status_code == 201, created.text
    assert is_dead(client.get(f"/files/{created.json()['id']}/content"))
    return created.json()["declared_content_type"]


@pytest.mark.parametrize(
    ("line", "stored"),
    [
        (b"Content-Type: text/html", "text/html"),
        (b"Content-Type:", None),
        (b"X-Type: text/html", None),
        (b"Content-Type: text/html\r\nX: y", "text/html"),
        (b"Content-Type: text/\x00\x1b[31mhtml", "text/??[31mhtml"),
        (b"Content-Type: \xff\xfe<script>", "??<script>"),
        (b"Content-Type: " + b"x" * 4000, "x" * 200),
    ],
    ids=["a lie", "empty", "none", "another line", "control characters", "bytes", "4,000 characters"],
)
def test_a_declared_type_is_a_short_printable_note(
    portal: Served, analyst: httpx.Client, line: bytes, stored: str | None
) -> None:
    assert stored_type(portal, analyst, line) == stored


def test_a_declared_type_of_ten_kilobytes_is_a_short_note_too(analyst: httpx.Client) -> None:
    created = analyst.put("/upload/a.jpg", content=b"\xff\xd8\xff\xe0", headers={"Content-Type": "x" * 10_000})
    assert created.json()["declared_content_type"] == "x" * 200
    assert is_dead(analyst.get(f"/files/{created.json()['id']}/content"))
