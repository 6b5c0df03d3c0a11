"""Right tests for failures of the command line that are unclear or tracebacks: each fails until `src` is mended."""

import pytest

from .conftest import Shell


@pytest.mark.xfail(strict=True, reason="the error of rescue carries no strerror: the line is the path alone")
def test_a_target_that_exists_is_refused_in_words(portal: Shell) -> None:
    for name in ("blob", "plain"):
        (portal.folder / name).write_bytes(b"x" * 200)
    ran = portal("rescue", "blob", "--key-file", "-", "--out", "plain", stdin="00" * 32)
    assert "exist" in ran.err.lower()


@pytest.mark.xfail(strict=True, raises=UnicodeDecodeError, reason="a key file that is not text is a traceback")
def test_a_key_file_of_raw_bytes_is_a_wrong_argument(portal: Shell) -> None:
    (portal.folder / "blob").write_bytes(b"x" * 200)
    (portal.folder / "key").write_bytes(b"\xff" * 32)
    assert portal("rescue", "blob", "--key-file", "key", "--out", "plain").code == 2


@pytest.mark.xfail(strict=True, raises=UnicodeDecodeError, reason="standard input that is not text is a traceback")
def test_a_password_that_is_not_text_is_refused(portal: Shell) -> None:
    ran = portal("users", "create", "alice", "--role", "admin", "--password-stdin", stdin=b"\xff" * 20 + b"\n")
    assert ran.code == 3


@pytest.mark.xfail(strict=True, reason="any digits of Unicode count, and a span beyond the calendar is a traceback")
@pytest.mark.parametrize("span", ["٣s", "9" * 30 + "d", "999999999d"])
def test_a_span_beyond_reason_is_a_wrong_argument(portal: Shell, span: str) -> None:
    assert portal("sweep", "--older-than", span).code == 2
