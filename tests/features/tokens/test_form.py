"""The form of a token: what was made is recognised, and nothing else reaches the database."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.core.errors import NotSignedIn
from portal.features.tokens import form

LETTERS = string.ascii_letters + string.digits


def test_a_token_is_recognised_by_its_mark_and_its_digest_is_its_own() -> None:
    made = [form.make() for _ in range(200)]
    assert all(token.startswith("prt_") and len(token) == 50 for token in made)
    assert len({form.digest(token) for token in made}) == len(made)
    assert form.digest(made[0]) == form.digest(made[0])
    assert len(form.digest(made[0])) == 32


@given(place=st.integers(4, 49), letter=st.sampled_from(LETTERS))
def test_one_changed_letter_is_refused(place: int, letter: str) -> None:
    token = form.make()
    changed = token[:place] + letter + token[place + 1 :]
    if changed == token:
        return
    with pytest.raises(NotSignedIn):
        form.digest(changed)


@given(st.text(max_size=120) | st.text(LETTERS, min_size=46, max_size=46).map("prt_".__add__))
def test_what_was_never_made_is_refused(text: str) -> None:
    with pytest.raises(NotSignedIn):
        form.digest(text)


@pytest.mark.parametrize("shape", ["{} ", " {}", "{}\n", "{}A", "prt_{}", "{}\x00"])
def test_a_token_has_one_spelling(shape: str) -> None:
    token = form.make()
    assert form.digest(token)
    for changed in (shape.format(token), token.swapcase(), token.removeprefix("prt_")):
        with pytest.raises(NotSignedIn):
            form.digest(changed)
