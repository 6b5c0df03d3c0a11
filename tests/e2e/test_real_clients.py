"""Forms and bodies as real clients send them, byte for byte: taken under their names, or refused with what to do."""

import base64
import hashlib
import secrets

import httpx
import pytest

from .conftest import Served
from .raw import Wire, bearer, head, length
from .seen import problem, statuses

CONTENT = b"the evidence\r\n"
MARK = "@MARK@"  # stands for a name that no other test has

# What each client writes between the boundaries; `@B@` is the boundary.
FORMS: dict[str, tuple[str, bytes, str]] = {
    "curl 7.88": (
        "------------------------d74496d66958873e",
        (
            b'--@B@\r\nContent-Disposition: form-data; name="file"; filename="@MARK@ Pr\xc3\xbcf.pdf"\r\n'
            b"Content-Type: application/pdf\r\n\r\n@CONTENT@\r\n--@B@--\r\n"
        ),
        "@MARK@ Prüf.pdf",
    ),
    ".NET (mono 6.8, MultipartFormDataContent)": (
        '"b0a1f6a0-3f0e-4b6b-9d0e-5b0f5a0a7c11"',
        (
            b"--@B@\r\nContent-Type: application/octet-stream\r\n"
            b'Content-Disposition: form-data; name=file; filename="=?utf-8?B?@B64@?="\r\n\r\n'
            b"@CONTENT@\r\n--@B@--\r\n"
        ),
        "@MARK@ Prüfbericht Nr 7.pdf",
    ),
    "PowerShell 7 -Form": (
        '"b0a1f6a0-3f0e-4b6b-9d0e-5b0f5a0a7c12"',
        (
            b"--@B@\r\nContent-Disposition: form-data; name=file; "
            b"filename=\"=?utf-8?B?@B64@?=\"; filename*=utf-8''@MARK@%20Pr%C3%BCfbericht%20Nr%207.pdf\r\n"
            b"Content-Type: application/octet-stream\r\n\r\n@CONTENT@\r\n--@B@--\r\n"
        ),
        "@MARK@ Prüfbericht Nr 7.pdf",
    ),
    "requests 2.20 (RHEL 8)": (
        "9a1c7a1f9e3b4e5d8d2f",
        (
            b"--@B@\r\nContent-Disposition: form-data; name=\"file\"; filename*=utf-8''@MARK@%20Pr%C3%BCf.pdf\r\n\r\n"
            b"@CONTENT@\r\n--@B@--\r\n"
        ),
        "@MARK@ Prüf.pdf",
    ),
    "aiohttp 3.14": (
        "d1a2f3e4b5c64d7e8f90a1b2c3d4e5f6",
        (
            b"--@B@\r\nContent-Type: application/pdf\r\n"
            b'Content-Disposition: form-data; name="file"; filename="@MARK@%20Pr%C3%BCf.pdf"\r\n\r\n'
            b"@CONTENT@\r\n--@B@--\r\n"
        ),
        "@MARK@ Prüf.pdf",
    ),
    "Ruby multipart-post, Faraday": (
        "-----------RubyMultipartPost-4f8a0f3d1a2b",
        (
            b'--@B@\r\nContent-Disposition: form-data; name="file"; filename="@MARK@"\r\nContent-Length: 14\r\n'
            b"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\n\r\n"
            b"@CONTENT@\r\n--@B@--\r\n\r\n"
        ),
        "@MARK@",
    ),
    "C#, Unity": (
        "----CSharpBoundary7e3f",
        (
            b'\r\n--@B@\r\nContent-Disposition: form-data; name="file"; filename="@MARK@"\r\n'
            b"Content-Type: image/png\r\n\r\n@CONTENT@\r\n--@B@--\r\n"
        ),
        "@MARK@",
    ),
    "Uppy, XHRUpload": (
        "----WebKitFormBoundary7MA4YWxkTrZu0gW",
        (
            b'--@B@\r\nContent-Disposition: form-data; name="relativePath"\r\n\r\nnull\r\n'
            b'--@B@\r\nContent-Disposition: form-data; name="name"\r\n\r\n@MARK@\r\n'
            b'--@B@\r\nContent-Disposition: form-data; name="type"\r\n\r\nimage/png\r\n'
            b'--@B@\r\nContent-Disposition: form-data; name="_charset_"\r\n\r\nUTF-8\r\n'
            b'--@B@\r\nContent-Disposition: form-data; name="file"; filename="@MARK@"\r\n'
            b"Content-Type: image/png\r\n\r\n@CONTENT@\r\n--@B@--\r\n"
        ),
        "@MARK@",
    ),
    "httpx, a quote and a backslash": (
        "0123456789abcdef0123456789abcdef",
        (
            b'--@B@\r\nContent-Disposition: form-data; name="file"; filename="@MARK@ a%22b\\\\c"\r\n\r\n'
            b"@CONTENT@\r\n--@B@--\r\n"
        ),
        '@MARK@ a"b\\c',
    ),
    "a script without quotes": (
        "xYzZY",
        (
            b"--@B@\r\nContent-Disposition: form-data; name=file; filename=@MARK@ my disk.img\r\n\r\n"
            b"@CONTENT@\r\n--@B@--"
        ),
        "@MARK@ my disk.img",
    ),
}


def filled(form: bytes, boundary: str, mark: str) -> bytes:
    name = base64.b64encode(f"{mark} Prüfbericht Nr 7.pdf".encode())
    for place, value in (("@B@", boundary.strip('"').encode()), ("@B64@", name), (MARK, mark.encode())):
        form = form.replace(place.encode(), value)
    return form.replace(b"@CONTENT@", CONTENT)


def post(client: httpx.Client, form: bytes, boundary: str, query: str = "") -> httpx.Response:
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    return client.post(f"/files{query}", content=form, headers=headers)


@pytest.mark.parametrize(("boundary", "form", "name"), FORMS.values(), ids=FORMS)
def test_a_form_is_taken_as_its_client_sends_it(analyst: httpx.Client, boundary: str, form: bytes, name: str) -> None:
    mark = secrets.token_hex(8)
    created = post(analyst, filled(form, boundary, mark), boundary)
    assert created.status_code == 201, created.text
    entry = created.json()
    assert entry["name"] == name.replace(MARK, mark)
    assert entry["sha256"] == hashlib.sha256(CONTENT).hexdigest()
    assert analyst.get(f"/files/{entry['id']}/content").content == CONTENT
    (found,) = analyst.get("/files", params={"name": entry["name"]}).json()["items"]
    assert found["id"] == entry["id"]


def one(field: str, value: bytes = b"x", more: str = "") -> bytes:
    start = f'--bound\r\nContent-Disposition: form-data; name="{field}"{more}\r\n\r\n'
    return start.encode("utf-8", "surrogateescape") + value + b"\r\n"


FILE, END = one("file", CONTENT, '; filename="a.bin"'), b"--bound--\r\n"
REFUSED = {
    "curl on Windows: a code page": (one("file", more='; filename="Pr\udcfcf.pdf"'), "not UTF-8"),
    "curl -F file=<x": (one("file"), "field file has no file name"),
    "a submit button": (one("submit", b"Send") + FILE, "field submit, which is unknown"),
    "two files": (FILE + FILE, "second file"),
    "a field twice": (one("kind", b"log") * 2 + FILE, "field kind twice"),
    "a form of another charset": (one("_charset_", b"windows-1252") + FILE, "_charset_"),
    "a file in base64": (FILE.replace(b"\r\n\r\n", b"\r\nContent-Transfer-Encoding: base64\r\n\r\n", 1), "encoded"),
    "a file's MD5": (FILE.replace(b"\r\n\r\n", b"\r\nContent-MD5: AAAA\r\n\r\n", 1), "Content-Md5 cannot be verified"),
    "the case behind the file": (FILE + one("case_id", secrets.token_hex(16).encode()), "case_id"),
    "another case behind the file": (
        FILE + one("case_id", b"0190f3a2-9d10-7e2b-b7aa-6b1d2f3b4c5d"),
        "The case belongs into the query",
    ),
}


@pytest.mark.parametrize(("form", "told"), REFUSED.values(), ids=REFUSED)
def test_a_refusal_says_what_is_wrong(analyst: httpx.Client, form: bytes, told: str) -> None:
    refused = post(analyst, form + END, "bound")
    assert refused.status_code in {400, 422}
    assert told in refused.json()["detail"]


@pytest.mark.parametrize("way", ["query", "query and field behind", "field in front"])
def test_a_case_may_be_said_in_the_query_of_a_form(analyst: httpx.Client, way: str) -> None:
    """A generated client writes the fields that must be there first: the file."""
    case = analyst.post("/cases", json={"title": "a case"}).json()["id"]
    field = one("case_id", case.encode())
    form = {"query": FILE, "query and field behind": FILE + field, "field in front": field + FILE}[way]
    created = post(analyst, form + END, "bound", f"?case_id={case}" if "query" in way else "")
    assert (created.status_code, created.json()["case_id"]) == (201, case)


def test_a_case_in_the_query_is_judged_before_the_files_first_byte(portal: Served, analyst: httpx.Client) -> None:
    nowhere = "0190f3a2-9d10-7e2b-b7aa-6b1d2f3b4c5d"
    kind = "Content-Type: multipart/form-data; boundary=bound"
    with Wire(portal.port) as wire:
        target = f"/api/v1/files?case_id={nowhere}"
        wire.send(head("POST", target, bearer(analyst), kind, length(10_000_000)), FILE[:-2])
        assert problem(wire.answer()) == (404, "not_found")
        assert wire.ended()


@pytest.mark.parametrize(
    "content_type",
    ["multipart/form-data; boundary=bound", "Multipart/Form-Data ; boundary=bound", "multipart/form-data"],
)
def test_a_form_sent_by_put_is_no_file(portal: Served, analyst: httpx.Client, content_type: str) -> None:
    name = secrets.token_hex(8)
    refused = analyst.put(f"/upload/{name}", content=FILE + END, headers={"Content-Type": content_type})
    assert problem(refused) == (415, "unsupported_media_type")
    assert "POST /files" in refused.json()["detail"]
    assert statuses(portal, name) == []


def test_the_type_that_curl_and_wget_say_of_any_body_is_a_note(analyst: httpx.Client) -> None:
    """`curl --data-binary @disk.img -X PUT` and `wget --method=PUT --body-file` send the file itself under it."""
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    created = analyst.put("/upload/a.bin", content=b"a=b&c\n", headers=kind)
    assert (created.status_code, created.json()["size"]) == (201, 6)


DIGEST = hashlib.sha256(CONTENT).digest()
ANOTHER = hashlib.sha256(b"another").digest()


def b64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


@pytest.mark.parametrize(
    ("header", "right", "wrong"),
    [
        ("Repr-Digest", f"SHA-256=:{b64(DIGEST)}:", f"SHA-256=:{b64(ANOTHER)}:"),
        ("Content-Digest", f"sha-256=:{b64(DIGEST)}:", f"sha-256=:{b64(ANOTHER)}:"),
        ("Digest", f"SHA-256={b64(DIGEST)}", f"SHA-256={b64(ANOTHER)}"),
        ("x-amz-checksum-sha256", b64(DIGEST), b64(ANOTHER)),
        ("x-amz-content-sha256", DIGEST.hex(), ANOTHER.hex()),
    ],
)
def test_a_sha_256_is_compared_wherever_it_stands(analyst: httpx.Client, header: str, right: str, wrong: str) -> None:
    taken = analyst.put("/upload/a.bin", content=CONTENT, headers={header: right})
    refused = analyst.put("/upload/a.bin", content=CONTENT, headers={header: wrong})
    assert (taken.status_code, problem(refused)) == (201, (400, "digest_mismatch"))


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("Content-MD5", b64(hashlib.md5(CONTENT, usedforsecurity=False).digest())),
        ("Repr-Digest", f"sha-512=:{b64(hashlib.sha512(CONTENT).digest())}:"),
        ("x-amz-checksum-crc32", "AAAAAA=="),
        ("Trailer", "Repr-Digest"),
    ],
)
def test_a_digest_that_cannot_be_verified_is_refused(
    portal: Served, analyst: httpx.Client, header: str, value: str
) -> None:
    name = secrets.token_hex(8)
    refused = analyst.put(f"/upload/{name}", content=CONTENT, headers={header: value})
    assert problem(refused) == (400, "invalid_input")
    assert statuses(portal, name) == []
