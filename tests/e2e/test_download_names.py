"""Hostile file names: kept as they were sent, offered for saving as something harmless."""

import secrets
import unicodedata
from urllib.parse import quote, unquote

import httpx
import pytest

from .conftest import Served
from .raw import FORM, Wire, bearer, form_end, head, length, part
from .seen import problem

E_ACUTE = "e\u0301"  # two code points, three bytes, one grapheme
OFFERED = {
    "plain.txt": "plain.txt",
    "../../etc/passwd": "passwd",
    "/abs": "abs",
    "....//": "file",
    "a/b/c.txt": "c.txt",
    "..\\..\\x": "x",
    "C:\\x": "x",
    "\\\\srv\\share\\x.txt": "x.txt",
    "C:": "C_",
    "a\\": "a",
    "a/": "a",
    "%2e%2e%2fx": "%2e%2e%2fx",
    "a%0d%0aX-Evil: 1": "a%0d%0aX-Evil_ 1",
    'a"; filename="b.exe': "a_; filename=_b.exe",
    "a;filename=b.exe": "a;filename=b.exe",
    "a'b.txt": "a'b.txt",
    "\u202egpj.exe": "gpj.exe",
    "a\u2066b\u2069.txt": "ab.txt",
    "in\u200bvisi\u200fble\ufeff\u00ad.txt": "invisible.txt",
    "in\u3164vi\u115fsi\ufe0fb\u034fle\u2800.txt": "invisible.txt",
    "CON": "_CON",
    "nul.txt": "_nul.txt",
    "LPT1.tar.gz": "_LPT1.tar.gz",
    "com¹": "_com¹",
    "a.": "a",
    "a ": "a",
    " a": "a",
    ".htaccess": "_.htaccess",
    ".": "file",
    "..": "file",
    "desktop.ini": "desktop.ini",
    "<img src=x onerror=alert(1)>.txt": "_img src=x onerror=alert(1)_.txt",
    "{{7*7}}": "{{7_7}}",
    "=cmd|' /C calc'!A0": "C calc'!A0",
    "a:b*c?d.txt": "a_b_c_d.txt",
    "Müller und Söhne.pdf": "Müller und Söhne.pdf",
    "报告.pdf": "报告.pdf",
    "\U0001f600.png": "\U0001f600.png",
    E_ACUTE + ".txt": E_ACUTE + ".txt",
    "é.txt": "é.txt",
    "x" * 4000 + ".tar": "x" * 251 + ".tar",
    "x" * 4096: "x" * 255,
    E_ACUTE * 255 + ".txt": E_ACUTE * 83 + ".txt",
    "\U0001f600" * 100 + ".png": "\U0001f600" * 62 + ".png",
}
LONG_PATHS = 8000  # bytes of a request's path that the portal takes
WINDOWS_DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in "0123456789¹²³")}
REFUSED = {
    "empty": "",
    "NUL": "a\0b",
    "tab": "a\tb",
    "escape": "a\x1b[31mb",
    "delete": "a\x7fb",
    "C1": "a\x85b",
    "line separator": "a\u2028b",
    "paragraph separator": "a\u2029b",
    "too long": "x" * 4097,
}


def by_form(portal: Served, client: httpx.Client, name: str) -> httpx.Response:
    body = part("file", b"content", filename=name) + form_end()
    with Wire(portal.port) as wire:
        wire.send(head("POST", "/api/v1/files", bearer(client), FORM, length(len(body))), body)
        return wire.answer()


def by_path(portal: Served, client: httpx.Client, encoded: str) -> httpx.Response:
    with Wire(portal.port) as wire:
        wire.send(head("PUT", f"/api/v1/upload/{encoded}", bearer(client), length(7)), b"content")
        return wire.answer()


def hand_in(portal: Served, client: httpx.Client, way: str, name: str) -> httpx.Response:
    return by_form(portal, client, name) if way == "form" else by_path(portal, client, quote(name, safe=""))


def offered(portal: Served, client: httpx.Client, file_id: str) -> str:
    """The name of the download, after the header proved to be one that nobody can read in two ways."""
    with Wire(portal.port) as wire:
        wire.send(head("GET", f"/api/v1/files/{file_id}/content", bearer(client)))
        answer = wire.answer()
    raw: bytes = answer.extensions["head"]
    (line,) = [line for line in raw.split(b"\r\n") if line.lower().startswith(b"content-disposition:")]
    assert all(0x20 <= byte < 0x7F for byte in line)
    plain, _, full = line.decode().partition("; filename*=UTF-8''")
    start = 'content-disposition: attachment; filename="'
    assert plain.startswith(start)
    assert plain.endswith('"')
    assert set('"\\%').isdisjoint(plain.removeprefix(start)[:-1])
    assert all(character.isalnum() or character in "-._~%" for character in full)
    return unquote(full, errors="strict")


def is_harmless(name: str) -> bool:
    return (
        0 < len(name.encode()) <= 255
        and not any(unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for character in name)
        and not set('/\\<>:"|?*') & set(name)
        and not name.startswith((".", " "))
        and not name.endswith((".", " "))
        and name.partition(".")[0].rstrip().casefold() not in WINDOWS_DEVICES
    )


@pytest.mark.parametrize("way", ["form", "path"])
@pytest.mark.parametrize(
    ("name", "safe"), OFFERED.items(), ids=[f"{number}: {ascii(name)[:30]}" for number, name in enumerate(OFFERED)]
)
def test_a_name_is_kept_as_sent_and_offered_as_something_harmless(
    portal: Served, analyst: httpx.Client, way: str, name: str, safe: str
) -> None:
    if way == "path" and len(quote(name, safe="")) > LONG_PATHS:
        pytest.fail("choose a shorter name: the path has no room for it")
    created = hand_in(portal, analyst, way, name)
    assert created.status_code == 201, created.text
    assert created.json()["name"] == name
    assert analyst.get(f"/files/{created.json()['id']}").json()["name"] == name
    assert offered(portal, analyst, created.json()["id"]) == safe
    assert is_harmless(safe)


@pytest.mark.parametrize("way", ["form", "path"])
@pytest.mark.parametrize("name", REFUSED.values(), ids=REFUSED)
def test_a_name_that_is_none_is_refused(portal: Served, analyst: httpx.Client, way: str, name: str) -> None:
    assert problem(hand_in(portal, analyst, way, name)) == (400, "invalid_input")


@pytest.mark.parametrize(
    ("encoded", "name"),
    [
        ("a%2Fb.txt", "a/b.txt"),
        ("a/b.txt", "a/b.txt"),
        ("../../etc/passwd", "../../etc/passwd"),
        ("..%2f..%2fx", "../../x"),
        ("..%5C..%5Cx", "..\\..\\x"),
        ("C%3A%5Cx", "C:\\x"),
        ("%5C%5Csrv%5Cx", "\\\\srv\\x"),
        ("a+b%2Bc", "a+b+c"),
        ("%41%2542", "A%42"),
        ("/x", "/x"),
        ("a;b=c", "a;b=c"),
        ("x/upload/y", "x/upload/y"),
        ("%E2%82%AC", "€"),
    ],
)
def test_a_path_is_decoded_exactly_once(portal: Served, analyst: httpx.Client, encoded: str, name: str) -> None:
    created = by_path(portal, analyst, encoded)
    assert (created.status_code, created.json()["name"]) == (201, name)
    assert is_harmless(offered(portal, analyst, created.json()["id"]))


@pytest.mark.parametrize("encoded", ["%ff", "a%C3%28", "%ED%A0%80", "%C0%AF", "a%00b", "%F5%80%80%80"])
def test_a_path_that_is_not_utf_8_text_is_refused(portal: Served, analyst: httpx.Client, encoded: str) -> None:
    assert problem(by_path(portal, analyst, encoded)) == (400, "invalid_input")


@pytest.mark.parametrize("raw", [b"\xff", b"\xc3\x28", b"\xed\xa0\x80", b"a\x00b"])
def test_a_form_name_that_is_not_utf_8_text_is_refused(portal: Served, analyst: httpx.Client, raw: bytes) -> None:
    name = raw.decode("utf-8", "surrogateescape")
    assert problem(by_form(portal, analyst, name)) == (400, "invalid_input")


@pytest.mark.parametrize("filename", ['"a', '"a\r\nX-Evil: 1"'], ids=ascii)
def test_a_form_name_whose_quotes_do_not_close_is_malformed(analyst: httpx.Client, filename: str) -> None:
    body = part("file", b"content", filename="quoted").replace(b'"quoted"', filename.encode()) + form_end()
    refused = analyst.post("/files", content=body, headers=dict([FORM.split(": ", 1)]))
    assert problem(refused) == (400, "invalid_input")


def test_the_plain_name_of_a_form_wins(analyst: httpx.Client) -> None:
    mark = secrets.token_hex(8)
    body = part("file", b"content", filename=f"{mark}.txt")
    for twin in (b"; filename*=UTF-8''evil.exe\r\n\r\n", b"; filename*0=evil.exe\r\n\r\n"):
        form = body.replace(b"\r\n\r\n", twin, 1) + form_end()
        created = analyst.post("/files", content=form, headers=dict([FORM.split(": ", 1)]))
        assert (created.status_code, created.json()["name"]) == (201, f"{mark}.txt")


def test_twins_in_another_case_or_form_are_two_files(analyst: httpx.Client) -> None:
    mark = secrets.token_hex(8)
    names = [f"{mark}-é", f"{mark}-{E_ACUTE}", f"{mark}-a", f"{mark}-A", f"{mark}-\u0430"]
    ids = {analyst.put(f"/upload/{quote(name)}", content=b"x").json()["id"] for name in names}
    assert len(ids) == 5
    assert {item["name"] for item in analyst.get("/files", params={"name": mark}).json()["items"]} == set(names)


def test_a_renamed_file_is_offered_under_its_new_name(portal: Served, analyst: httpx.Client) -> None:
    created = analyst.put("/upload/old.txt", content=b"x").json()
    changed = analyst.patch(f"/files/{created['id']}", json={"name": "../new\u202e.txt"}, headers={"If-Match": "*"})
    assert changed.json()["name"] == "../new\u202e.txt"
    assert offered(portal, analyst, created["id"]) == "new.txt"


@pytest.mark.parametrize(
    "name",
    [
        "e" + "\u0301" * 1000 + ".txt",
        "e" + "\u0301" * 1000,
        "a" * 250 + ". . ." + "b" * 50,
        "a" * 254 + " " + "b" * 50,
        "CON .txt",
        "nul  .tar.gz",
        "\u00a0",
        " \u3000.txt",
    ],
    ids=["accents and a suffix", "accents", "dots at the cut", "a space at the cut", "con", "nul", "a space", "spaces"],
)
def test_what_is_left_of_a_name_is_still_harmless(portal: Served, analyst: httpx.Client, name: str) -> None:
    created = hand_in(portal, analyst, "path", name)
    assert created.status_code == 201
    left = offered(portal, analyst, created.json()["id"])
    assert is_harmless(left)
    assert left.strip()


@pytest.mark.parametrize("name", ["a\nb", "a\r\nX-Evil: 1", "\n"], ids=ascii)
def test_a_line_break_in_a_path_is_a_malformed_name(portal: Served, analyst: httpx.Client, name: str) -> None:
    assert problem(by_path(portal, analyst, quote(name))) == (400, "invalid_input")
