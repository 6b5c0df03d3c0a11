"""Marked secrets: what was made is recognised, and nothing else has a digest."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.core.prefixed_tokens import TokenKind

MARK = TokenKind("prt_")
LETTERS = string.ascii_letters + string.digits


def test_a_secret_is_recognised_by_its_mark_and_its_digest_is_its_own() -> None:
    made = [MARK.new() for _ in range(200)]
    assert all(MARK.matches(secret) and len(secret) == 50 for secret in made)
    digests = {MARK.digest(secret) for secret in made}
    assert None not in digests
    assert len(digests) == len(made)
    assert MARK.digest(made[0]) == MARK.digest(made[0])
    assert len(MARK.digest(made[0]) or b"") == 32


@given(place=st.integers(4, 49), letter=st.sampled_from(LETTERS))
def test_one_changed_letter_is_refused(place: int, letter: str) -> None:
    secret = MARK.new()
    changed = secret[:place] + letter + secret[place + 1 :]
    assert (MARK.digest(changed) is None) is (changed != secret)


@given(st.text(max_size=120) | st.text(LETTERS, min_size=46, max_size=46).map("prt_".__add__))
def test_what_was_never_made_is_refused(text: str) -> None:
    assert MARK.digest(text) is None


@pytest.mark.parametrize("shape", ["{} ", " {}", "{}\n", "{}A", "prt_{}", "{}\x00"])
def test_a_secret_has_one_spelling(shape: str) -> None:
    secret = MARK.new()
    for changed in (shape.format(secret), secret.swapcase(), secret.removeprefix("prt_")):
        assert MARK.digest(changed) is None


def test_no_kind_is_taken_for_another() -> None:
    other = TokenKind("prl_")
    secret = MARK.new()
    assert not other.matches(secret)
    assert other.digest("prl_" + secret.removeprefix("prt_")) is not None  # the mark is looked up with the rest
    assert other.digest("prl_" + secret.removeprefix("prt_")) != MARK.digest(secret)
    assert other.digest(secret) is None
