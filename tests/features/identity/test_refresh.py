"""Refresh tokens: what we issued says whose it is, everything else says nothing."""

import re
from hashlib import sha256
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.core import clock
from portal.core.errors import InvalidGrant
from portal.core.secrets import Secret
from portal.features.identity.refresh import RefreshTokens
from portal.features.identity.tokens import AccessClaims, AccessTokens

SECRET, OLDER, FOREIGN = Secret(b"n" * 32), Secret(b"o" * 32), Secret(b"f" * 32)
SESSION = UUID(int=0x51D)
TOKENS = RefreshTokens([SECRET, OLDER])


def refused(token: str, tokens: RefreshTokens = TOKENS) -> bool:
    try:
        tokens.read(token)
    except InvalidGrant:
        return True
    return False


@given(st.uuids())
def test_a_token_says_whose_it_is_and_its_digest_is_what_was_kept(session_id: UUID) -> None:
    token, digest = TOKENS.issue(session_id)
    assert TOKENS.read(token) == (session_id, digest)
    assert digest == sha256(token.encode()).digest()


def test_the_shape_of_a_token() -> None:
    token, _ = TOKENS.issue(SESSION)
    assert re.fullmatch(r"[0-9a-f]{32}\.[\w-]{43}\.[\w-]{22}", token, re.ASCII)


def test_no_two_tokens_share_a_secret() -> None:
    issued = [TOKENS.issue(SESSION) for _ in range(100)]
    assert len({token.split(".")[1] for token, _ in issued}) == len({digest for _, digest in issued}) == 100


def test_an_older_key_still_in_the_list_verifies_and_a_removed_one_does_not() -> None:
    token, digest = RefreshTokens([OLDER]).issue(SESSION)
    assert TOKENS.read(token) == (SESSION, digest)
    assert refused(token, RefreshTokens([SECRET]))
    assert refused(token, RefreshTokens([FOREIGN, SECRET]))


def test_the_newest_key_signs() -> None:
    token, _ = TOKENS.issue(SESSION)
    assert not refused(token, RefreshTokens([SECRET]))
    assert refused(token, RefreshTokens([OLDER]))


def test_every_changed_character_is_refused() -> None:
    token, _ = TOKENS.issue(SESSION)
    for at, character in enumerate(token):
        for other in "0Aa_-.= \n\u0660":
            if other != character:
                assert refused(token[:at] + other + token[at + 1 :]), (at, other)
        assert refused(token[:at] + token[at + 1 :])


def test_the_parts_of_two_tokens_do_not_mix() -> None:
    one, two = (TOKENS.issue(session_id)[0].split(".") for session_id in (SESSION, UUID(int=7)))
    for mixed in ([one[0], two[1], two[2]], [two[0], one[1], two[2]], [one[0], one[1], two[2]], [two[0], *one[1:]]):
        assert refused(".".join(mixed))


GOOD, _ = TOKENS.issue(SESSION)
SHAPES = {
    "empty": "",
    "a dot": ".",
    "two dots": "..",
    "a newline behind": GOOD + "\n",
    "a space in front": " " + GOOD,
    "upper case": GOOD.upper(),
    "a dot behind": GOOD + ".",
    "another part": "x." + GOOD,
    "no signature": GOOD.rpartition(".")[0],
    "an empty signature": GOOD.rpartition(".")[0] + ".",
    "padding": GOOD + "==",
    "a NUL": GOOD + "\0",
    "a lone surrogate": GOOD + "\ud800",
    "another alphabet": GOOD + "é",
    "200 characters and one": "x" * 201,
    "a megabyte": "x" * 1_000_000,
    "an access token": AccessTokens([SECRET]).issue(AccessClaims(SESSION, SESSION), clock.now()),
}


@pytest.mark.parametrize("token", SHAPES.values(), ids=list(SHAPES))
def test_another_shape_is_refused(token: str) -> None:
    assert refused(token)


@given(st.text(max_size=220))
def test_no_text_makes_reading_fail(text: str) -> None:
    assert refused(text)
    assert refused(f"{SESSION.hex}.{text}")
