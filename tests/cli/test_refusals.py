"""What the command line refuses, in words and with an exit code, never with a traceback."""

from .conftest import Shell


def test_a_target_that_exists_is_refused_in_words(portal: Shell) -> None:
    for name in ("blob", "plain"):
        (portal.folder / name).write_bytes(b"x" * 200)
    ran = portal("rescue", "blob", "--key-file", "-", "--out", "plain", stdin="00" * 32)
    assert "exist" in ran.err.lower()


def test_a_password_that_is_not_text_is_refused(portal: Shell) -> None:
    ran = portal("users", "create", "alice", "--role", "admin", "--password-stdin", stdin=b"\xff" * 20 + b"\n")
    assert ran.code == 3


def test_a_span_beyond_the_calendar_is_a_wrong_argument_or_long_enough(portal: Shell) -> None:
    assert portal("sweep", "--older-than", "999999d").code in {0, 2}
