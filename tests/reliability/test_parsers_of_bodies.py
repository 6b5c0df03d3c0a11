"""Bodies from any bytes at all: JSON, the token form, and a form with a file, in any pieces.

Well-formed ones are compared with what another reader makes of them: `json`, a reader of urlencoded pairs of a few
lines, and the mail parser of the standard library, which knows multipart from RFC 2046.
"""

import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from email.parser import BytesParser
from typing import Any
from urllib.parse import unquote_plus, urlencode

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from hypothesis import assume
from hypothesis import strategies as st

from portal.core.errors import InvalidInput
from portal.features.files.http.schemas import FileUpdate
from portal.features.identity.grant_errors import InvalidTokenRequest
from portal.features.identity.request_bodies import _token_form
from portal.web.bodies import json_body
from portal.web.multipart import MultipartForm

from .fuzzing import cut, fuzzed, mangled, run

FIELDS = frozenset({"description", "kind", "sha256"})


def request(body: bytes, content_type: str) -> Request:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    headers = [(b"content-type", content_type.encode())]
    return Request({"type": "http", "method": "PATCH", "path": "/", "headers": headers}, receive)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)
patches = st.fixed_dictionaries({}, optional=dict.fromkeys(("name", "kind", "description", "id"), values))
deep = st.sampled_from([b"[" * 60_000, b'{"a":' * 9_000, b"9" * 5_000])


@fuzzed(body=mangled(patches.map(json.dumps).map(str.encode)) | st.binary(max_size=80) | deep)
def test_a_json_body_is_the_model_or_refused(body: bytes) -> None:
    with contextlib.suppress(InvalidInput, RequestValidationError):
        patch = run(json_body(request(body, "application/json"), FileUpdate))
        said = {name: value for name, value in json.loads(body).items() if value is not None}
        assert patch.model_dump(mode="json", exclude_none=True) == said


plain = st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"]), max_size=200)


@fuzzed(name=plain.filter(bool), kind=st.sampled_from(["log", "pcap", None]), spaces=st.sampled_from([None, 1]))
def test_a_json_body_that_will_do_is_taken_however_it_is_spelled(
    name: str, kind: str | None, spaces: int | None
) -> None:
    assume("\x7f" not in name)
    for ascii_alone in (True, False):
        body = json.dumps({"name": name, "kind": kind}, indent=spaces, ensure_ascii=ascii_alone).encode()
        patch = run(json_body(request(body, "Application/JSON; charset=utf-8"), FileUpdate))
        assert (patch.name, patch.kind) == (name, kind)


grants = st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=12), plain, max_size=8)
FORM = "application/x-www-form-urlencoded"


@fuzzed(grant=grants)
def test_a_token_form_says_what_was_written_into_it(grant: dict[str, str]) -> None:
    assert run(_token_form(request(urlencode(grant).encode(), FORM))) == grant


@fuzzed(body=mangled(grants.map(urlencode).map(str.encode)) | st.text("a=&+%;0fF\n", max_size=40).map(str.encode))
def test_a_token_form_is_read_or_refused(body: bytes) -> None:
    with contextlib.suppress(InvalidTokenRequest):
        form = run(_token_form(request(body, FORM)))
        pairs = [pair.partition("=")[::2] for pair in body.decode().split("&") if pair]
        assert form == {unquote_plus(name): unquote_plus(value) for name, value in pairs}


@dataclass(frozen=True)
class Form:
    """What a form says, and its bytes."""

    boundary: str
    filename: str
    content: bytes
    fields: dict[str, str]
    body: bytes

    @property
    def content_type(self) -> str:
        return f'multipart/form-data; boundary="{self.boundary}"'


Taken = tuple[str, bytes, dict[str, str]]
shards = st.sampled_from([b"\r\n", b"\r", b"\n", b"--", b"\r\n--", b"\0", b"\xff", b"x" * 500])
contents = st.lists(shards | st.binary(max_size=40), max_size=8).map(b"".join)
filenames = st.text(
    st.characters(min_codepoint=32, exclude_categories=["Cs", "Cc"], exclude_characters='"\\'), max_size=60
)


@st.composite
def forms(draw: st.DrawFn, filenames: st.SearchStrategy[str] = filenames) -> Form:
    boundary = draw(st.text("abcXYZ019'()+_,-./:=?", min_size=1, max_size=70))
    filename, content = draw(filenames), draw(contents)
    fields = draw(st.dictionaries(st.sampled_from(sorted(FIELDS)), plain, max_size=3))
    assume(all(boundary.encode() not in part for part in (content, *(value.encode() for value in fields.values()))))
    parts = [f'name="{name}"\r\n\r\n{value}'.encode() for name, value in fields.items()]
    parts.append(f'name="file"; filename="{filename}"\r\nContent-Type: a/b\r\n\r\n'.encode() + content)
    start = f"--{boundary}\r\nContent-Disposition: form-data; ".encode()
    body = b"".join(start + part + b"\r\n" for part in draw(st.permutations(parts)))
    return Form(boundary, filename, content, fields, body + f"--{boundary}--\r\n".encode())


async def read(content_type: str, chunks: Sequence[bytes]) -> Taken:
    async def body() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    form = MultipartForm(content_type, body(), file_field="file", fields=FIELDS)
    await form.open_file()
    content = b"".join([chunk async for chunk in form.chunks()])
    return form.filename, content, await form.finish()


def taken(content_type: str, chunks: Sequence[bytes]) -> Taken | None:
    """None for what is refused."""
    with contextlib.suppress(InvalidInput):
        return run(read(content_type, chunks))
    return None


def as_mail(form: Form) -> Taken:
    """The form as the mail parser reads it."""
    mail: Any = BytesParser().parsebytes(f"Content-Type: {form.content_type}\r\n\r\n".encode() + form.body)
    parts = {part.get_param("name", header="content-disposition"): part for part in mail.get_payload()}
    file = parts.pop("file")
    fields = {name: part.get_payload(decode=True).decode() for name, part in parts.items()}
    return file.get_param("filename", header="content-disposition"), file.get_payload(decode=True), fields


places = st.lists(st.integers(0, 20_000), max_size=20)


@fuzzed(form=forms(), places=places)
def test_a_form_says_what_was_written_into_it_whatever_the_pieces(form: Form, places: list[int]) -> None:
    expected = (form.filename, form.content, form.fields)
    assert taken(form.content_type, [form.body]) == expected
    assert taken(form.content_type, cut(form.body, places)) == expected


@fuzzed(form=forms(st.text("aZ09 ;=,'()[]%*.", max_size=30)))  # names in ASCII: mail knows no other
def test_a_form_is_read_as_the_mail_parser_reads_it(form: Form) -> None:
    assert taken(form.content_type, [form.body]) == as_mail(form)


broken = mangled(forms().map(lambda form: form.body.replace(form.boundary.encode(), b"B")))


@fuzzed(body=broken | st.binary(max_size=400), places=places)
def test_a_broken_form_is_read_the_same_or_refused_whatever_the_pieces(body: bytes, places: list[int]) -> None:
    whole = taken("multipart/form-data; boundary=B", [body])
    assert taken("multipart/form-data; boundary=B", cut(body, places)) == whole
    assert taken("multipart/form-data; boundary=B", [body[at : at + 1] for at in range(len(body))]) == whole
