"""Forms: the same whatever the cuts, byte for byte, and InvalidInput for everything that is not exactly a form."""

from collections.abc import AsyncIterator, Iterable, Sequence

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from portal.core.errors import ClientGone, InvalidInput
from portal.web.multipart import MAX_FIELD_BYTES, MultipartForm

BOUNDARY = b"B0UNDARY"
TYPE = f"multipart/form-data; boundary={BOUNDARY.decode()}"
FIELDS = frozenset({"description", "kind"})
Taken = tuple[str, str | None, bytes, dict[str, str]]


def part(disposition: bytes, content: bytes, *headers: bytes) -> bytes:
    lines = [b"--" + BOUNDARY, b"Content-Disposition: " + disposition, *headers, b"", content]
    return b"\r\n".join(lines) + b"\r\n"


def field(name: bytes, value: bytes) -> bytes:
    return part(b'form-data; name="' + name + b'"', value)


def file(content: bytes = b"content", filename: bytes = b"a.bin", *headers: bytes) -> bytes:
    return part(b'form-data; name="file"; filename="' + filename + b'"', content, *headers)


END = b"--" + BOUNDARY + b"--"
PLAIN = file() + END + b"\r\n"


async def stream(chunks: Iterable[bytes], *, leaves: bool = False) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk
    if leaves:
        raise ClientGone


async def taken(chunks: Iterable[bytes], content_type: str = TYPE, *, leaves: bool = False) -> Taken:
    form = MultipartForm(content_type, stream(chunks, leaves=leaves), file_field="file", fields=FIELDS)
    await form.open_file()
    content = b"".join([chunk async for chunk in form.chunks()])
    return form.filename, form.headers.get("content-type"), content, await form.finish()


async def result(chunks: Iterable[bytes]) -> Taken | None:
    """None for what is refused."""
    try:
        return await taken(chunks)
    except InvalidInput:
        return None


def cut(body: bytes, places: Iterable[int]) -> list[bytes]:
    ends = sorted({place % (len(body) + 1) for place in places} | {len(body)})
    return [body[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def single(body: bytes) -> list[bytes]:
    return [body[at : at + 1] for at in range(len(body))]


FORMS: dict[str, tuple[bytes, Taken]] = {
    "a file alone": (PLAIN, ("a.bin", None, b"content", {})),
    "no line break at the end": (file() + END, ("a.bin", None, b"content", {})),
    "an empty file": (file(b"") + END, ("a.bin", None, b"", {})),
    "a declared type": (
        file(b"x", b"a", b"Content-Type: text/html; charset=x") + END,
        ("a", "text/html; charset=x", b"x", {}),
    ),
    "fields before": (
        field(b"kind", b"log") + field(b"description", b"") + file() + END,
        ("a.bin", None, b"content", {"kind": "log", "description": ""}),
    ),
    "fields after": (
        file() + field(b"description", "é\r\nb".encode()) + END,
        ("a.bin", None, b"content", {"description": "é\r\nb"}),
    ),
    "fields on both sides": (
        field(b"kind", b"pcap") + file() + field(b"description", b"d") + END,
        ("a.bin", None, b"content", {"kind": "pcap", "description": "d"}),
    ),
    "other letters in header names": (
        b'--B0UNDARY\r\ncontent-disposition: FORM-DATA; name="file"; filename="x"\r\n\r\nc\r\n' + END,
        ("x", None, b"c", {}),
    ),
    "a name without quotes": (part(b"form-data; name=file; filename=x.bin", b"c") + END, ("x.bin", None, b"c", {})),
    "a hostile name, kept as data": (
        file(b"c", "../..\\..\u202e/é<b>%00".encode() + rb"\"x") + END,
        ('../..\\..\u202e/é<b>%00"x', None, b"c", {}),
    ),
    "a Windows path, kept as data": (file(b"c", rb"C:\cases\7\x.img") + END, (r"C:\cases\7\x.img", None, b"c", {})),
    "a share, kept as data": (file(b"c", rb"\\server\share\x") + END, (r"\\server\share\x", None, b"c", {})),
    "an empty name": (file(b"c", b"") + END, ("", None, b"c", {})),
    "both kinds of name: the plain one counts": (
        part(b'form-data; name="file"; filename*=UTF-8\'\'evil.exe; filename="good.txt"', b"c") + END,
        ("good.txt", None, b"c", {}),
    ),
    "content like a boundary": (
        file(b"\r\n--B0UNDAR\r\n--\r\r\n--B0UNDARX\r\n-B0UNDARY--\n--B0UNDARY--B0UNDARY") + END,
        ("a.bin", None, b"\r\n--B0UNDAR\r\n--\r\r\n--B0UNDARX\r\n-B0UNDARY--\n--B0UNDARY--B0UNDARY", {}),
    ),
    "content that ends like a boundary": (file(b"x\r\n--B0UNDAR") + END, ("a.bin", None, b"x\r\n--B0UNDAR", {})),
    "content of line breaks": (file(b"\r\n" * 40 + b"\n\r") + END, ("a.bin", None, b"\r\n" * 40 + b"\n\r", {})),
    "an end among the headers": (
        file(b"c", b"x", END + b": x") + END,
        ("x", None, b"c", {}),
    ),
    "a line break before the form (C#, Unity)": (b"\r\n" + PLAIN, ("a.bin", None, b"content", {})),
    "line breaks behind the form (Ruby)": (PLAIN + b"\r\n\r\n", ("a.bin", None, b"content", {})),
    "line breaks on both sides": (b"\r\n\r\n" + PLAIN + b"\r\n" * 3, ("a.bin", None, b"content", {})),
    "a file in no encoding (Java)": (
        file(b"Yw==", b"a", b"Content-Transfer-Encoding: BINARY") + END,
        ("a", None, b"Yw==", {}),
    ),
    "an extended name alone (old urllib3)": (
        part(b"form-data; name=\"file\"; filename*=utf-8''Pr%C3%BCf.pdf", b"c") + END,
        ("Prüf.pdf", None, b"c", {}),
    ),
    "a part header of no value": (file(b"c", b"x", b"X-Nothing:") + END, ("x", None, b"c", {})),
}
forms = pytest.mark.parametrize(("body", "expected"), FORMS.values(), ids=FORMS)


@forms
async def test_a_form_is_read_in_one_piece(body: bytes, expected: Taken) -> None:
    assert await taken([body]) == expected


@forms
async def test_a_form_is_read_byte_by_byte(body: bytes, expected: Taken) -> None:
    assert await taken(single(body)) == expected


@forms
async def test_a_form_is_read_whatever_one_cut(body: bytes, expected: Taken) -> None:
    for place in range(len(body) + 1):
        assert await taken(cut(body, [place])) == expected


@given(form=st.sampled_from(list(FORMS.values())), places=st.lists(st.integers(0, 400), max_size=12))
async def test_a_form_is_read_whatever_the_cuts(form: tuple[bytes, Taken], places: list[int]) -> None:
    body, expected = form
    assert await taken(cut(body, places)) == expected


LOOKALIKES = [
    b"\r",
    b"\n",
    b"-",
    b"--",
    b"\r\n",
    b"\r\n-",
    b"\r\n--",
    b"--B0UNDARY",
    b"\r\n--B0UND",
    b"ARY",
    b"B",
    b"x",
]
alike = st.lists(st.sampled_from(LOOKALIKES), max_size=14).map(b"".join)


@given(content=alike | st.binary(max_size=200), places=st.lists(st.integers(0, 400), max_size=8))
@example(content=b"\r\n--B0UND\r\n--B0UND", places=[])
@example(content=b"\r\r\r\n", places=list(range(400)))
async def test_any_content_without_the_boundary_comes_through_whole(content: bytes, places: list[int]) -> None:
    assume(b"\r\n--" + BOUNDARY not in b"\r\n" + content)
    body = field(b"kind", b"log") + file(content) + field(b"description", b"d") + END
    assert await taken(cut(body, places)) == ("a.bin", None, content, {"kind": "log", "description": "d"})


SHARDS = [
    b"--B0UNDARY",
    b"\r\n",
    b"--",
    b"\r",
    b"\n",
    b"x",
    b":",
    b"Content-Disposition: form-data; ",
    b'name="file"; filename="a"',
    b'name="kind"',
    b"\r\n\r\n",
    b"\r\n--B0UNDARY\r\n",
    b"\r\n--B0UNDARY--",
    b" ",
    b"\0",
]


@given(
    soup=st.lists(st.sampled_from(SHARDS), max_size=24).map(b"".join),
    framed=st.booleans(),
    places=st.lists(st.integers(0, 400), max_size=8),
)
async def test_any_soup_of_pieces_is_read_the_same_whatever_the_cuts(
    soup: bytes, places: list[int], *, framed: bool
) -> None:
    body = b"--B0UNDARY\r\n" + soup + b"\r\n" + END if framed else b"--B0UNDARY" + soup
    whole = await result([body])
    assert await result(cut(body, places)) == whole
    assert await result(single(body)) == whole


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=4))
async def test_any_bytes_are_a_form_or_refused_and_never_a_bug(body: bytes, places: list[int]) -> None:
    await result(cut(body, places))


@pytest.mark.parametrize("body", [FORMS["fields on both sides"][0], FORMS["content like a boundary"][0]])
@pytest.mark.parametrize("one_by_one", [False, True])
async def test_a_form_cut_off_at_any_byte_is_refused(body: bytes, *, one_by_one: bool) -> None:
    for length in range(len(body)):
        with pytest.raises(InvalidInput):
            await taken(single(body[:length]) if one_by_one else [body[:length]])


async def test_a_client_that_leaves_at_any_byte_before_the_end_is_gone() -> None:
    body = FORMS["fields on both sides"][0]
    for length in range(len(body)):
        with pytest.raises(ClientGone):
            await taken([body[:length]], leaves=True)


async def test_a_client_that_leaves_behind_the_form_is_gone_too() -> None:
    with pytest.raises(ClientGone):
        await taken([PLAIN], leaves=True)


DISPOSITION = b'Content-Disposition: form-data; name="file"; filename="a"'


def raw(*headers: bytes, content: bytes = b"c") -> bytes:
    return b"\r\n".join([b"--B0UNDARY", *headers, b"", content, END])


MALFORMED = {
    "nothing": b"",
    "an empty form": END,
    "an empty form, closed twice": b"--B0UNDARY\r\n" + END,
    "no file": field(b"kind", b"log") + END,
    "a file field without a file": field(b"file", b"content") + END,
    "a file in another field": part(b'form-data; name="kind"; filename="a"', b"c") + END,
    "a second file": file() + file() + END,
    "an unknown field": field(b"owner", b"root") + file() + END,
    "an unknown field after": file() + field(b"owner", b"root") + END,
    "a field twice": field(b"kind", b"log") + field(b"kind", b"pcap") + file() + END,
    "a field twice, once on each side": field(b"kind", b"log") + file() + field(b"kind", b"log") + END,
    "a field of other letters": field(b"Kind", b"log") + file() + END,
    "a field without a name": part(b"form-data", b"x") + file() + END,
    "an empty name": field(b"", b"x") + file() + END,
    "no disposition": raw(b"Content-Type: text/plain"),
    "no header at all": raw(),
    "another disposition": raw(b'Content-Disposition: attachment; name="file"; filename="a"'),
    "a disposition twice": raw(DISPOSITION, b'Content-Disposition: form-data; name="file"; filename="b"'),
    "a disposition twice, in other letters": raw(DISPOSITION, DISPOSITION.lower()),
    "a type twice": raw(DISPOSITION, b"Content-Type: a/b", b"Content-Type: c/d"),
    "a name of another encoding": file(b"c", b"\xff.bin") + END,
    "a name of UTF-16": file(b"c", "a".encode("utf-16")) + END,
    "a surrogate in the name": file(b"c", b"\xed\xa0\x80") + END,
    "a field of another encoding": file() + field(b"description", b"\xff") + END,
    "a header without a colon": raw(DISPOSITION, b"nonsense"),
    "a header with a space in its name": raw(DISPOSITION, b"Content Type: a/b"),
    "a header without a name": raw(DISPOSITION, b": value"),
    "a folded header": raw(b"Content-Disposition: form-data;", b' name="file"; filename="a"'),
    "a NUL in a header name": raw(DISPOSITION, b"X\0: y"),
    "bare line feeds": PLAIN.replace(b"\r\n", b"\n"),
    "bare carriage returns": PLAIN.replace(b"\r\n", b"\r"),
    "too many headers": raw(DISPOSITION, *(b"X-%d: y" % number for number in range(1000))),
    "too large a header": raw(DISPOSITION, b"X: " + b"y" * 100_000),
    "too large a header name": raw(DISPOSITION, b"X" * 100_000 + b": y"),
    "too long a name": raw(DISPOSITION + b"; x=" + b"y" * 100_000),
    "too large a field": field(b"description", b"x" * (MAX_FIELD_BYTES + 1)) + file() + END,
    "too large a field after": file() + field(b"description", b"x" * (MAX_FIELD_BYTES + 1)) + END,
    "a field that never ends": field(b"description", b"x" * 500_000),
    "another boundary": PLAIN.replace(BOUNDARY, b"BOUNDARY0"),
    "a boundary one byte short": PLAIN.replace(b"--B0UNDARY\r\n", b"--B0UNDAR\r\n", 1),
    "a boundary with one dash": PLAIN.replace(b"--B0UNDARY\r\n", b"-B0UNDARY\r\n", 1),
    "text behind the form": PLAIN + b"junk",
    "text right behind the form": file() + END + b"junk",
    "a space behind the form": PLAIN + b" ",
    "many line breaks behind the form": file() + END + b"\r\n" * 5,
    "half a line break more behind the form": PLAIN + b"\n",
    "a line break that is none behind the form": PLAIN + b"\r\r\n",
    "another line break behind the form": file() + END + b"\n",
    "a part behind the form": PLAIN + field(b"kind", b"log"),
    "a form behind the form": PLAIN + PLAIN,
    "another end behind the form": PLAIN + END,
    "a megabyte behind the form": PLAIN + bytes(1 << 20),
    "an end among the headers and text behind the form": raw(DISPOSITION, END + b": x") + b"\r\njunk",
    "a closing boundary with one dash": file() + b"--B0UNDARY-\r\n",
    "text before the form": b"preamble\r\n" + PLAIN,
    "text behind a line break before the form": b"\r\npreamble\r\n" + PLAIN,
    "two names of a file": part(b'form-data; name="file"; filename="a"; filename="b"', b"c") + END,
    "many line breaks before the form": b"\r\n" * 5 + PLAIN,
    "half a line break before the form": b"\r" + PLAIN,
    "the other half before the form": b"\n" + PLAIN,
    "a line break that is none before the form": b"\r\r\n" + PLAIN,
    "line breaks and nothing": b"\r\n\r\n",
    "a file in base64": file(b"Yw==", b"a", b"Content-Transfer-Encoding: base64") + END,
    "a file in quoted-printable": file(b"c", b"a", b"content-transfer-encoding: Quoted-Printable") + END,
    "a compressed file": file(b"c", b"a", b"Content-Encoding: gzip") + END,
    "a field in base64": part(b'form-data; name="kind"', b"bG9n", b"Content-Transfer-Encoding: base64") + file() + END,
    "not a form": b'{"file": "content"}',
    "urlencoded": b"file=content&kind=log",
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
@pytest.mark.parametrize("size", [1, 7, 4096, 1 << 20])
async def test_a_malformed_form_is_invalid_input_and_nothing_else(body: bytes, size: int) -> None:
    with pytest.raises(InvalidInput):
        await taken([body[at : at + size] for at in range(0, len(body), size)])


@pytest.mark.parametrize("size", [1, 1000, 1 << 20])
async def test_a_field_may_be_as_large_as_the_limit(size: int) -> None:
    body = file() + field(b"description", b"\n" * MAX_FIELD_BYTES) + END
    chunks = [body[at : at + size] for at in range(0, len(body), size)]
    assert (await taken(chunks))[3] == {"description": "\n" * MAX_FIELD_BYTES}


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        'multipart/form-data; boundary=""',
        "multipart/form-data; charset=utf-8",
        f"multipart/form-data; boundary={'x' * 71}",
        "multipart/mixed; boundary=B0UNDARY",
        "application/x-www-form-urlencoded; boundary=B0UNDARY",
        "application/octet-stream",
        "; boundary=B0UNDARY",
        "multipart/form-data boundary=B0UNDARY",
        '\xff\xfe;=;="',
    ],
)
def test_a_content_type_without_a_usable_boundary_is_refused(content_type: str) -> None:
    with pytest.raises(InvalidInput):
        MultipartForm(content_type, stream([]), file_field="file", fields=FIELDS)


@given(st.text(st.characters(max_codepoint=255), max_size=100).map("multipart/form-data;".__add__))
def test_any_content_type_has_a_boundary_or_is_refused(content_type: str) -> None:
    try:
        MultipartForm(content_type, stream([]), file_field="file", fields=FIELDS)
    except InvalidInput:
        return


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ('multipart/form-data; boundary="with spaces: and/marks?"', b"with spaces: and/marks?"),
        ("Multipart/Form-Data; charset=x; BOUNDARY=B0UNDARY", BOUNDARY),
        (f"multipart/form-data; boundary={'x' * 70}", b"x" * 70),
        (
            "multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW",
            b"----WebKitFormBoundary7MA4YWxkTrZu0gW",
        ),
    ],
)
async def test_boundaries_as_clients_write_them(content_type: str, boundary: bytes) -> None:
    body = PLAIN.replace(BOUNDARY, boundary)
    assert await taken(single(body), content_type) == ("a.bin", None, b"content", {})


async def test_the_fields_in_front_are_told_with_the_file() -> None:
    body = field(b"kind", b"log") + file() + field(b"description", b"d") + END
    form = MultipartForm(TYPE, stream(single(body)), file_field="file", fields=FIELDS)
    assert await form.open_file() == {"kind": "log"}
    assert b"".join([chunk async for chunk in form.chunks()]) == b"content"
    assert await form.finish() == {"kind": "log", "description": "d"}


async def test_the_file_flows_before_the_form_is_whole() -> None:
    arrived: list[int] = []

    async def counted(chunks: Sequence[bytes]) -> AsyncIterator[bytes]:
        for number, chunk in enumerate(chunks):
            arrived.append(number)
            yield chunk

    chunks = [file(b"x" * 100)[:-60], b"y" * 100, b"z" * 100, b"\r\n" + END]
    form = MultipartForm(TYPE, counted(chunks), file_field="file", fields=FIELDS)
    await form.open_file()
    pieces = form.chunks()
    first = await anext(pieces)
    assert set(first) == {ord("x")}
    assert arrived == [0]
    assert await anext(pieces) == b"y" * 100
    assert arrived == [0, 1]
    assert b"".join([piece async for piece in pieces]) == b"z" * 100
    assert await form.finish() == {}


async def test_a_file_that_nobody_read_is_not_taken_for_fields() -> None:
    form = MultipartForm(TYPE, stream([PLAIN]), file_field="file", fields=FIELDS)
    await form.open_file()
    with pytest.raises(InvalidInput):
        await form.finish()


async def test_a_refusal_does_not_repeat_what_was_sent() -> None:
    for body in (
        field(b"<c4n4ry>", b"x") + END,
        field(b"kind2", b"c4n4ry") + END,
        file(b"c", b"c4n4ry\xff") + END,
        b"c4n4ry",
    ):
        with pytest.raises(InvalidInput) as caught:
            await taken([body])
        assert "c4n4ry" not in str(caught.value)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (field(b"submit", b"Send") + file() + END, "field submit, which is unknown: description, kind"),
        (field(b"file", b"content") + END, "field file has no file name"),
        (file() + file() + END, "second file"),
        (field(b"kind", b"log") * 2 + file() + END, "field kind twice"),
        (part(b'form-data; name="kind"; filename="a"', b"c") + END, "file in a field kind"),
    ],
)
async def test_a_refusal_names_the_field(body: bytes, told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        await taken([body])


async def test_an_ignored_field_may_come_once() -> None:
    ignored = frozenset({"relativePath"})
    for times, refused in ((1, False), (2, True)):
        body = field(b"relativePath", b"null") * times + file() + END
        form = MultipartForm(TYPE, stream([body]), file_field="file", fields=FIELDS, ignored=ignored)
        if refused:
            with pytest.raises(InvalidInput, match="twice"):
                await form.open_file()
        else:
            await form.open_file()
