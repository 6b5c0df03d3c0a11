"""Handing files in: forms and raw bodies, their fields, every size at a boundary, and what is refused."""

import base64
import hashlib
import secrets
from urllib.parse import quote
from uuid import UUID

import httpx
import pytest

from .conftest import Served
from .raw import BOUNDARY, FORM, Wire, bearer, form_end, head, length, part
from .seen import eventually, kept, known, problem, rows, statuses

FIRST_SEGMENT = 1_048_520  # plaintext bytes that fill the first segment of a blob
WAYS = ("form", "raw")

GOOD = part("file", b"content", filename="a.bin")
BAD_FORMS = {
    "two files": GOOD + GOOD + form_end(),
    "a file in a field of another name": GOOD + part("other", b"x", filename="b.bin") + form_end(),
    "an unknown field": part("owner_id", b"1") + GOOD + form_end(),
    "an unknown field after the file": GOOD + part("status", b"ready") + form_end(),
    "a repeated field": part("kind", b"log") + part("kind", b"log") + GOOD + form_end(),
    "a field before and after": part("kind", b"log") + GOOD + part("kind", b"log") + form_end(),
    "no file": part("kind", b"log") + form_end(),
    "a file without a name": part("file", b"content") + form_end(),
    "a file with an empty name": part("file", b"content", filename="") + form_end(),
    "no part at all": form_end(),
    "nothing": b"",
    "garbage": secrets.token_bytes(500),
    "another boundary": GOOD.replace(BOUNDARY.encode(), b"x") + form_end().replace(BOUNDARY.encode(), b"x"),
    "an end inside the file": GOOD[:-5],
    "an end before the closing boundary": GOOD,
    "an end inside the closing boundary": GOOD + form_end()[:-4],
    "an end inside a part's head": GOOD + b"--" + BOUNDARY.encode() + b"\r\nContent-Disposition: form-",
    "a header twice": GOOD.replace(b"\r\n\r\n", b'\r\nContent-Disposition: form-data; name="file"\r\n\r\n', 1)
    + form_end(),
    "a part without a name": GOOD.replace(b'name="file"; ', b"") + form_end(),
    "a field that is not UTF-8": GOOD + part("description", b"\xff\xfe") + form_end(),
    "a field that is too long": GOOD + part("description", b"x" * 70_000) + form_end(),
    "text behind the form": GOOD + form_end() + b"x",
    "another form behind the form": (GOOD + form_end()) * 2,
    "a megabyte behind the form": GOOD + form_end() + bytes(1_000_000),
}


def hand_in(client: httpx.Client, way: str, name: str, content: bytes, **fields: str) -> httpx.Response:
    if way == "form":
        return client.post("/files", files={"file": (name, content)}, data=fields)
    return client.put(f"/upload/{quote(name, safe='')}", content=content, params=fields)


def unique(suffix: str = ".bin") -> str:
    return secrets.token_hex(8) + suffix


def nothing_more_is_kept(portal: Served) -> bool:
    return eventually(lambda: kept(portal) == known(portal))


@pytest.mark.parametrize("size", [0, 1, FIRST_SEGMENT, FIRST_SEGMENT + 1])
@pytest.mark.parametrize("way", WAYS)
def test_every_size_comes_back_as_it_went_in(analyst: httpx.Client, way: str, size: int) -> None:
    content, name = secrets.token_bytes(size), unique()
    created = hand_in(analyst, way, name, content)
    assert created.status_code == 201, created.text
    entry = created.json()
    assert created.headers["location"] == f"/api/v1/files/{entry['id']}"
    assert created.headers["etag"] == '"1"'
    assert (entry["name"], entry["size"], entry["status"]) == (name, size, "ready")
    assert entry["sha256"] == hashlib.sha256(content).hexdigest()
    assert analyst.get(f"/files/{entry['id']}").json() == entry
    assert analyst.get(f"/files/{entry['id']}/content").content == content


@pytest.mark.parametrize("place", ["before", "after", "around"])
def test_form_fields_may_stand_anywhere(analyst: httpx.Client, place: str) -> None:
    content = secrets.token_bytes(2_000_000)
    file = ("file", (unique(), content))
    told = {"kind": "pcap", "description": "line one\nline zwei: ä", "sha256": hashlib.sha256(content).hexdigest()}
    fields = [(name, (None, value)) for name, value in told.items()]
    order = {"before": [*fields, file], "after": [file, *fields], "around": [fields[0], file, *fields[1:]]}[place]
    created = analyst.post("/files", files=order)  # type: ignore[arg-type]  # a field is a file without a name
    assert created.status_code == 201, created.text
    entry = created.json()
    assert (entry["kind"], entry["description"]) == (told["kind"], told["description"])
    assert analyst.get(f"/files/{entry['id']}/content").content == content


def test_a_raw_body_takes_its_fields_from_the_query(analyst: httpx.Client) -> None:
    told = {"kind": "memory_dump", "description": "RAM & swap\n100 %"}
    entry = hand_in(analyst, "raw", unique(), b"raw", **told).json()
    assert {name: entry[name] for name in told} == told


def test_a_form_breaks_lines_as_the_rest_of_the_portal_does(analyst: httpx.Client) -> None:
    assert hand_in(analyst, "form", unique(), b"x", description="a\r\nb").json()["description"] == "a\nb"


def test_the_declared_type_is_recorded_and_not_believed(analyst: httpx.Client) -> None:
    image = bytes.fromhex("89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489")
    form = analyst.post("/files", files={"file": (unique(), image, "text/html")}).json()
    raw = analyst.put(f"/upload/{unique()}", content=image, headers={"Content-Type": "text/html"}).json()
    for entry in (form, raw):
        assert (entry["declared_content_type"], entry["detected_content_type"]) == ("text/html", "image/png")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "fields",
    [{"kind": "EVIDENCE"}, {"kind": "virus"}, {"description": "x" * 4001}, {"description": "a\x07b"}],
    ids=["capitals", "unknown kind", "long description", "control character"],
)
def test_a_field_that_will_not_do_is_one_mistake_whichever_way_it_came(
    portal: Served, analyst: httpx.Client, way: str, fields: dict[str, str]
) -> None:
    name = unique()
    refused = hand_in(analyst, way, name, b"content", **fields)
    assert problem(refused) == (422, "validation_failed")
    (fault,) = refused.json()["errors"]
    assert (fault["in"], fault["name"]) == ("form" if way == "form" else "query", *fields)
    assert statuses(portal, name) in ([], ["failed"])
    assert nothing_more_is_kept(portal)


@pytest.mark.parametrize(
    ("field", "value", "status"),
    [
        ("kind", b"virus", 422),
        ("description", b"a\x07b", 422),
        ("description", b"x" * 4001, 422),
        ("sha256", b"abc", 422),
        ("owner_id", b"1", 400),
    ],
)
def test_a_field_in_front_that_will_not_do_is_told_before_the_files_first_byte(
    portal: Served, analyst: httpx.Client, field: str, value: bytes, status: int
) -> None:
    name = unique()
    start = part(field, value) + part("file", b"", filename=name)[:-2]
    with Wire(portal.port) as wire:
        wire.send(head("POST", "/api/v1/files", bearer(analyst), FORM, length(10_000_000)), start)
        answer = wire.answer()
        assert problem(answer)[0] == status
        assert answer.headers["connection"] == "close"
        assert wire.ended()
    assert statuses(portal, name) == []


@pytest.mark.parametrize("body", BAD_FORMS.values(), ids=BAD_FORMS)
def test_what_is_not_exactly_one_file_with_known_fields_is_refused(
    portal: Served, analyst: httpx.Client, body: bytes
) -> None:
    listed = rows(portal, "SELECT count(*) FROM files WHERE status = 'ready'")
    refused = analyst.post("/files", content=body, headers=dict([FORM.split(": ", 1)]))
    assert problem(refused) == (400, "invalid_input")
    assert rows(portal, "SELECT count(*) FROM files WHERE status = 'ready'") == listed
    assert nothing_more_is_kept(portal)


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        f"multipart/form-data; boundary={'x' * 71}",
        f"multipart/mixed; boundary={BOUNDARY}",
        "application/octet-stream",
        "",
    ],
)
def test_a_form_needs_its_type_and_its_boundary(analyst: httpx.Client, content_type: str) -> None:
    refused = analyst.post("/files", content=GOOD + form_end(), headers={"Content-Type": content_type})
    assert problem(refused) == (400, "invalid_input")


@pytest.mark.parametrize("way", WAYS)
def test_another_checksum_than_the_announced_is_refused_and_nothing_is_kept(
    portal: Served, analyst: httpx.Client, way: str
) -> None:
    name, content = unique(), secrets.token_bytes(FIRST_SEGMENT + 10)
    other = hashlib.sha256(content[:-1]).digest()
    if way == "form":
        refused = hand_in(analyst, way, name, content, sha256=other.hex())
    else:
        announced = {"Repr-Digest": f"sha-256=:{base64.b64encode(other).decode()}:"}
        refused = analyst.put(f"/upload/{name}", content=content, headers=announced)
    assert problem(refused) == (400, "digest_mismatch")
    assert statuses(portal, name) == ["failed"]
    assert analyst.get("/files", params={"name": name}).json()["items"] == []
    assert nothing_more_is_kept(portal)
    failed = [event for event in portal.audit() if event["event"] == "file.upload_failed"]
    assert failed[-1]["details"] == {"reason": "digest_mismatch"}


@pytest.mark.parametrize("spelling", ["lower", "upper"])
def test_a_form_with_the_right_checksum_passes(analyst: httpx.Client, spelling: str) -> None:
    digest = hashlib.sha256(b"content").hexdigest()
    told = digest.upper() if spelling == "upper" else digest
    created = hand_in(analyst, "form", unique(), b"content", sha256=told)
    assert (created.status_code, created.json()["sha256"]) == (201, digest)


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("sha-256=:{right}:", 201),
        ("sha-512=:AAAA:, sha-256=:{right}:", 201),
        ("unixsum=:AAAA:", 400),
        ("sha-256=:AAAA:", 400),
        ("sha-256=:not base64:", 400),
        ("sha-256={right}", 400),
        ("sha-256=:{right}:, sha-256=:{right}:", 400),
    ],
)
def test_repr_digest_is_compared_or_refused(analyst: httpx.Client, header: str, status: int) -> None:
    right = base64.b64encode(hashlib.sha256(b"content").digest()).decode()
    announced = {"Repr-Digest": header.format(right=right)}
    assert analyst.put(f"/upload/{unique()}", content=b"content", headers=announced).status_code == status


@pytest.mark.parametrize(("method", "target"), [("POST", "/files"), ("PUT", "/upload/a.bin")])
def test_without_a_token_nobody_is_asked_for_the_body(portal: Served, method: str, target: str) -> None:
    with Wire(portal.port) as wire:
        wire.send(head(method, f"/api/v1{target}", FORM, length(10_000_000), "Expect: 100-continue"))
        answer = wire.answer()
        assert problem(answer) == (401, "not_signed_in")
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert answer.headers["connection"] == "close"
        assert wire.ended()


def test_an_auditor_hands_nothing_in(portal: Served) -> None:
    with portal.client("auditor") as auditor:
        names = {way: unique() for way in WAYS}
        for way, name in names.items():
            assert problem(hand_in(auditor, way, name, b"content")) == (403, "forbidden")
            assert statuses(portal, name) == []
        with Wire(portal.port) as wire:
            wire.send(head("PUT", "/api/v1/upload/a.bin", bearer(auditor), length(10_000_000), "Expect: 100-continue"))
            assert problem(wire.answer()) == (403, "forbidden")
            assert wire.ended()


@pytest.mark.parametrize("way", WAYS)
def test_an_uploader_hands_in_and_reads_their_own(portal: Served, way: str) -> None:
    with portal.client("uploader") as uploader:
        entry = hand_in(uploader, way, unique(), b"content").json()
        assert uploader.get(f"/files/{entry['id']}/content").content == b"content"


def test_each_upload_of_a_name_is_a_file_of_its_own(analyst: httpx.Client) -> None:
    name = unique()
    ids = {hand_in(analyst, way, name, b"content").json()["id"] for way in (*WAYS, *WAYS)}
    assert len(ids) == 4
    found = analyst.get("/files", params={"name": name}).json()["items"]
    assert {item["id"] for item in found} == ids


def test_an_upload_is_on_record_with_its_digest(portal: Served, analyst: httpx.Client) -> None:
    created = hand_in(analyst, "raw", unique(), b"content")
    (event,) = [event for event in portal.audit() if event["subject"] == created.json()["id"]]
    assert event["event"] == "file.uploaded"
    assert event["details"]["sha256"] == hashlib.sha256(b"content").hexdigest()
    assert (event["address"], event["request_id"]) == ("127.0.0.1", created.headers["x-request-id"])


WRONG = f"sha-256=:{'A' * 43}=:"


def test_a_part_of_a_file_is_not_taken_for_the_whole(portal: Served, analyst: httpx.Client) -> None:
    name = secrets.token_hex(8)
    refused = analyst.put(f"/upload/{name}", content=b"56789", headers={"Content-Range": "bytes 5-9/10"})
    assert problem(refused) == (400, "invalid_input")
    assert statuses(portal, name) == []


def test_a_digest_on_a_line_of_its_own_is_compared(portal: Served, analyst: httpx.Client) -> None:
    name = secrets.token_hex(8)
    lines = ["Repr-Digest: sha-512=:AAAA:", f"Repr-Digest: {WRONG}"]
    with Wire(portal.port) as wire:
        wire.send(head("PUT", f"/api/v1/upload/{name}", bearer(analyst), length(1), *lines), b"x")
        assert problem(wire.answer()) == (400, "digest_mismatch")
    assert statuses(portal, name) == ["failed"]


def test_a_repeated_upload_is_compared_with_what_it_announces(analyst: httpx.Client) -> None:
    under, target = {"Idempotency-Key": secrets.token_hex(8)}, f"/upload/{secrets.token_hex(8)}"
    assert analyst.put(target, content=b"x", headers=under).status_code == 201
    again = analyst.put(target, content=b"x", headers=under | {"Repr-Digest": WRONG})
    assert problem(again) == (400, "digest_mismatch")
    assert analyst.put(target, content=b"x", headers=under).status_code == 201


@pytest.mark.parametrize("way", ["raw", "form"])
def test_a_small_file_lies_in_its_row_and_an_unannounced_one_in_the_store(
    portal: Served, analyst: httpx.Client, way: str
) -> None:
    stores = []
    for body in (b"content", iter([b"content"])):  # who iterates tells no length
        if way == "raw":
            created = analyst.put("/upload/a.bin", content=body)
        else:
            form = part("file", b"content", filename="a.bin") + form_end()
            content = form if isinstance(body, bytes) else iter([form])
            created = analyst.post("/files", content=content, headers=dict([FORM.split(": ", 1)]))
        of_it = UUID(created.json()["id"]).hex
        stores += rows(portal, "SELECT store, content IS NULL FROM blobs WHERE file_id = ?", of_it)
        assert analyst.get(f"/files/{created.json()['id']}/content").content == b"content"
    (store,) = rows(portal, "SELECT id FROM stores")
    assert stores == [("row", 0), (store[0], 1)]
