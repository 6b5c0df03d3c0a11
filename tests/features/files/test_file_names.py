"""File names: kept as they came or refused, and offered for saving as nothing but a plain last component."""

import re
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from portal.core.errors import InvalidInput
from portal.core.unicode_safety import is_invisible
from portal.features.files.file_names import MAX_NAME_BYTES, NAME_PATTERN, checked_name, download_name

any_name = st.text(st.characters(), max_size=60)
nasty = st.lists(
    st.sampled_from(
        ["/", "\\", ".", "..", " ", ":", "CON", "nul", ".txt", "\u202e", "\0", "\u200b", "é", "e\u0301", "a"]
    ),
    max_size=8,
).map("".join)

DOWNLOADS = {
    "12\uf03a30 a\uf05cb.txt": "12_30 a_b.txt",
    "report.pdf": "report.pdf",
    "../../etc/passwd": "passwd",
    "..\\..\\x": "x",
    "/abs": "abs",
    "C:\\x": "x",
    "C:x": "C_x",
    "\\\\srv\\share\\x": "x",
    "....//": "file",
    "a/b/": "b",
    "a\\b\\\\": "b",
    "": "file",
    ".": "file",
    "..": "file",
    "...": "file",
    " ": "file",
    " . ": "file",
    "/": "file",
    "a.": "a",
    "a ": "a",
    "a. . ": "a",
    " a": "a",
    "a.txt.": "a.txt",
    ".htaccess": "_.htaccess",
    " .htaccess": "_.htaccess",
    "..hidden": "_..hidden",
    "desktop.ini": "desktop.ini",
    "CON": "_CON",
    "con": "_con",
    "NUL.txt": "_NUL.txt",
    "nul.tar.gz": "_nul.tar.gz",
    "COM1": "_COM1",
    "com¹.log": "_com¹.log",
    "LPT9.": "_LPT9",
    "aux ": "_aux",
    "PRN\u200b": "_PRN",
    "conin$": "_conin$",
    "CONSOLE": "CONSOLE",
    "xCON": "xCON",
    "\u202egpj.exe": "gpj.exe",
    "a\u2066b\u2069c": "abc",
    "a\u200bb\u200fc\ufeffd\u00ade": "abcde",
    "a\u2028b\u2029c": "abc",
    "a\u3164b\u115fc\u034fd\ufe0fe\u2800f\U000e0100g": "abcdefg",
    "\u3164": "file",
    "\u3164.htaccess": "_.htaccess",
    "CON\uffa0": "_CON",
    "report.pdf\u3164.exe": "report.pdf.exe",
    "a\r\nX-Evil: 1": "aX-Evil_ 1",
    "a\0b\x01c\x1fd\x7fe\x85f": "abcdef",
    "lone\ud800surrogate": "lonesurrogate",
    'a"; filename="b.exe': "a_; filename=_b.exe",
    "a;filename=b.exe": "a;filename=b.exe",
    "<img src=x onerror=alert(1)>.txt": "_img src=x onerror=alert(1)_.txt",
    "{{7*7}}": "{{7_7}}",
    "=cmd|' /C calc'!A0": "C calc'!A0",
    "a?b*c|d": "a_b_c_d",
    "100%.txt": "100%.txt",
    "日本語.txt": "日本語.txt",
    "Cyrillic \u0430.txt": "Cyrillic \u0430.txt",
}


@pytest.mark.parametrize(("name", "offered"), DOWNLOADS.items(), ids=ascii)
def test_a_name_is_offered_as_a_plain_last_component(name: str, offered: str) -> None:
    assert download_name(name) == offered


LONG = {
    "256 letters": ("a", 256, ""),
    "10,000 letters": ("a", 10_000, ""),
    "a suffix": ("a", 300, ".gz"),
    "two suffixes": ("a.", 300, ".gz"),
    "two-byte letters": ("é", 200, ""),
    "two-byte letters and a suffix": ("é", 200, ".txt"),
    "letters in two pieces": ("e\u0301", 255, ""),
    "four-byte letters": ("🔑", 100, ".bin"),
    "flags of two letters": ("🇩🇪", 60, ".x"),
    "syllables of three letters": ("한", 100, ".hwp"),
}


@pytest.mark.parametrize(("letter", "times", "suffix"), LONG.values(), ids=LONG)
def test_a_long_name_is_cut_between_letters_and_keeps_its_suffix(letter: str, times: int, suffix: str) -> None:
    offered = download_name(letter * times + suffix)
    assert len(offered.encode()) <= 255
    kept = offered.removesuffix(suffix).count(letter)
    assert offered == letter * kept + suffix
    assert len((letter * (kept + 2) + suffix).encode()) > 255 - 2  # hardly more would have fitted


def test_too_long_a_suffix_is_cut_like_any_letters() -> None:
    assert "a." + "b" * 240 < download_name("a." + "b" * 300) <= "a." + "b" * 253
    assert download_name("." + "b" * 300).startswith("_.bbb")


def test_joiners_are_invisible_and_go_before_the_cut() -> None:
    assert set(download_name("👩\u200d👩\u200d👧" * 40)) == {"👩", "👧"}


def test_a_name_of_exactly_255_bytes_stays() -> None:
    assert download_name("a" * 251 + ".bin") == "a" * 251 + ".bin"


@given(any_name | nasty)
@example("a" * 10_000)
@example("\u0301" * 1000)
@example("x" + "\u0301" * 1000 + "/")
def test_any_name_is_offered_short_printable_and_never_as_a_path(name: str) -> None:
    offered = download_name(name)
    assert offered
    assert len(offered.encode("utf-8")) <= 255
    assert not set(offered) & set('/\\:<>"|?*\0')
    assert not any(is_invisible(character) for character in offered)
    assert unicodedata.bidirectional(offered[0]) not in {"LRO", "RLO", "LRE", "RLE", "LRI", "RLI", "FSI"}


HUGE = "x" + "\u0301" * 1000  # one letter that fits nowhere


@given(any_name | nasty | nasty.map(lambda part: "a" * 250 + part + "b" * 9))
@example(f"CON{HUGE}.txt")
@example(f"{HUGE}.txt")
@example(HUGE)
@example("a" * 254 + " " + "b" * 9)
@example("a" * 254 + "..." + "b" * 99)
@example("nul" + "\u3000" * 300)
def test_any_name_is_safe_and_offered_again_as_it_is(name: str) -> None:
    offered = download_name(name)
    assert download_name(offered) == offered
    assert offered[0] not in ". "
    assert offered[-1] not in ". "
    assert offered.partition(".")[0].strip().lower() not in {"con", "prn", "aux", "nul", "com1", "lpt1"}


@given(any_name | nasty)
@example("a" * MAX_NAME_BYTES)
@example("é" * (MAX_NAME_BYTES // 2 + 1))
@example("\x85")
@example("\u2028")
def test_a_checked_name_is_the_name_or_refused(name: str) -> None:
    try:
        assert checked_name(name) == name
    except InvalidInput:
        bad = {"Cc", "Cs", "Zl", "Zp"} & {unicodedata.category(character) for character in name}
        assert bad or not name or len(name.encode()) > MAX_NAME_BYTES


@given(any_name | nasty | st.text(st.characters(max_codepoint=0x2030, exclude_categories=["Cs"])))
@example("ends in a line break\n")
@example("\u2028")
def test_the_documented_pattern_is_what_is_taken(name: str) -> None:
    try:
        taken = checked_name(name) == name
    except InvalidInput:
        taken = False
    beyond = len(name.encode("utf-8", "surrogatepass")) > MAX_NAME_BYTES or any("\ud800" <= c <= "\udfff" for c in name)
    pattern = NAME_PATTERN.replace("$", r"\Z")  # a schema's $ is the very end, Python's may stand before a line break
    assert taken is (re.search(pattern, name) is not None and not beyond)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a\0b",
        "a\nb",
        "a\tb",
        "\x1b[31m",
        "\x7f",
        "\x85",
        "lone \ud800",
        "\udfff",
        "\u2028",
        "\u2029",
        "a" * 4097,
        "é" * 2049,
    ],
    ids=lambda name: ascii(name[:12]) + str(len(name)),
)
def test_a_name_that_no_database_or_line_can_hold_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput):
        checked_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd",
        "CON",
        ".",
        " ",
        "\u202egpj.exe",
        "<script>",
        "=cmd|' /C calc'!A0",
        "e\u0301",
        "é",
        "a" * 4096,
    ],
    ids=lambda name: ascii(name[:12]) + str(len(name)),
)
def test_a_hostile_name_is_kept_as_data(name: str) -> None:
    assert checked_name(name) == name


def test_twins_stay_two_names() -> None:
    assert checked_name("e\u0301.txt") != checked_name("é.txt")
    assert download_name("e\u0301.txt") != download_name("é.txt")
