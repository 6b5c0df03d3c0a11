"""File names as the bytes of real clients have them, and what of a disposition is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.core.errors import InvalidInput
from portal.web import disposition

FILE = b'form-data; name="file"; '
NAMES: dict[str, tuple[bytes, str]] = {
    "curl, browsers": ('filename="Prüf Nr 7.pdf"'.encode(), "Prüf Nr 7.pdf"),
    "curl and browsers, a quote": (b'filename="a%22b"', 'a"b'),
    "old curl, a quote and a backslash": (rb'filename="a\"b\\c"', 'a"b\\c'),
    "httpx, a backslash": (rb'filename="a\\b"', "a\\b"),
    "browsers, a path": (rb'filename="C:\cases\7"', "C:\\cases\\7"),
    "browsers, a share": (rb'filename="\\srv\share\x"', "\\\\srv\\share\\x"),
    "browsers, a backslash at the end": (rb'filename="a\"', "a\\"),
    ".NET, mono": (b'filename="=?utf-8?B?UHLDvGZiZXJpY2h0IE5yIDcucGRm?="', "Prüfbericht Nr 7.pdf"),
    ".NET, without quotes": (b"filename==?utf-8?B?UHLDvGYucGRm?=", "Prüf.pdf"),
    "PowerShell, .NET 8: both": (
        b"filename=\"=?utf-8?B?UHLDvGYucGRm?=\"; filename*=utf-8''Pr%C3%BCf.pdf",
        "Prüf.pdf",
    ),
    "mail libraries, two words": (b'filename="=?UTF-8?Q?Pr=C3?= =?UTF-8?Q?=BCf_7.pdf?="', "Prüf 7.pdf"),
    "an encoded-word of another charset": (b'filename="=?iso-8859-1?Q?Pr=FCf?="', "=?iso-8859-1?Q?Pr=FCf?="),
    "the same with a name beside it": (b"filename=\"=?iso-8859-1?Q?Pr=FCf?=\"; filename*=utf-8''Pr%C3%BCf", "Prüf"),
    "an encoded-word that is none": (b'filename="=?utf-8?B?not base64?="', "=?utf-8?B?not base64?="),
    "old urllib3 (RHEL 8)": (b"filename*=utf-8''Pr%C3%BCf%20Nr%207.pdf", "Prüf Nr 7.pdf"),
    "RFC 8187 with a language": (b"filename*=UTF-8'de'Pr%C3%BCf", "Prüf"),
    "aiohttp": (b'filename="Pr%C3%BCf%20Nr%207.pdf"', "Prüf Nr 7.pdf"),
    "a name from a URL": (b'filename="my%20disk.img"', "my%20disk.img"),
    "a name that is half escaped": (b'filename="Pr%C3%BCf Nr.pdf"', "Pr%C3%BCf Nr.pdf"),
    "a name that is no UTF-8 when it is read as escapes": (b'filename="%FF%C3.pdf"', "%FF%C3.pdf"),
    "no quotes": (b"filename=disk.img", "disk.img"),
    "no quotes, blanks": (b"filename=my disk.img ", "my disk.img"),
    "no quotes, something behind": (b"filename=my disk.img; size=7", "my disk.img"),
    "the plain name wins": (b"filename*=utf-8''evil.exe; filename=\"good.txt\"", "good.txt"),
    "a semicolon and another name inside": (b'filename="a; filename=b"', "a; filename=b"),
    "empty": (b'filename=""', ""),
    "other letters": (b'FILENAME="a"', "a"),
    "a semicolon at the end": (b'filename="a";', "a"),
}
REFUSED = {
    "nothing": b"",
    "another disposition": b'attachment; name="file"',
    "no name": b'form-data; filename="a"',
    "a name twice": b'form-data; name="file"; NAME="file"',
    "a file name twice": FILE + b'filename="a"; filename="b"',
    "an extended name twice": FILE + b"filename*=utf-8''a; filename*=utf-8''b",
    "an extended name of another charset": FILE + b"filename*=iso-8859-1''%FC",
    "an extended name without a charset": FILE + b"filename*=a",
    "an extended name that is not UTF-8": FILE + b"filename*=utf-8''%FC",
    "quotes that do not close": FILE + b'filename="a',
    "something behind the quotes": FILE + b'filename="a"b',
    "a quote in the middle": FILE + b'filename=a"b',
    "curl on Windows: its code page": FILE + b'filename="Pr\xfcf.pdf"',
    "a field name that is not UTF-8": b'form-data; name="\xff"',
    "no separator": b'form-data name="file"',
}


@pytest.mark.parametrize(("parameters", "name"), NAMES.values(), ids=NAMES)
def test_a_name_is_read_as_its_client_means_it(parameters: bytes, name: str) -> None:
    assert disposition.read(FILE + parameters) == disposition.Disposition("file", name)


@pytest.mark.parametrize("header", REFUSED.values(), ids=REFUSED)
def test_what_two_readers_may_read_differently_is_refused(header: bytes) -> None:
    with pytest.raises(InvalidInput):
        disposition.read(header)


def test_a_name_of_a_code_page_is_told_what_to_do() -> None:
    with pytest.raises(InvalidInput, match=r"not UTF-8.*filename=disk\.img"):
        disposition.read(REFUSED["curl on Windows: its code page"])


def test_a_field_is_no_file() -> None:
    assert disposition.read(b"form-data; name=kind").filename is None
    assert disposition.read(b'form-data; name="file"; filename*0="a"').filename is None


@given(st.binary(max_size=80) | st.text(st.sampled_from("abfilenm=\"\\;*'% ?u8-"), max_size=60).map(str.encode))
def test_any_header_is_read_or_refused_and_never_a_bug(header: bytes) -> None:
    for one in (header, FILE + b"filename=" + header):
        try:
            disposition.read(one)
        except InvalidInput:
            continue
