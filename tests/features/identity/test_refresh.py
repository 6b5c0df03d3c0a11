"""Refresh tokens: what we issued says whose it is, everything else says nothing."""

import re
from hashlib import sha256
from typing import NoReturn
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.core import clock
from portal.core.secrets import Secret
from portal.features.identity import refresh
from portal.features.identity.grant_errors import InvalidGrant
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


GOOD, _ = TOKENS.issue(SESSION)


@given(st.integers(0, len(GOOD) - 1), st.characters())
def test_any_character_changed_anywhere_is_refused(at: int, other: str) -> None:
    assert refused(GOOD[:at] + other + GOOD[at + 1 :]) == (other != GOOD[at])


@given(st.integers(0, len(GOOD)), st.text(min_size=1, max_size=100))
def test_any_text_put_in_anywhere_is_refused(at: int, more: str) -> None:
    assert refused(GOOD[:at] + more + GOOD[at:])


@given(st.sets(st.integers(0, len(GOOD) - 1), min_size=1))
def test_any_characters_left_out_are_refused(gone: set[int]) -> None:
    assert refused("".join(character for at, character in enumerate(GOOD) if at not in gone))


@given(st.uuids(), st.uuids())
def test_the_mac_of_another_session_is_refused(session_id: UUID, other: UUID) -> None:
    (ours, _), (theirs, _) = TOKENS.issue(session_id), TOKENS.issue(other)
    assert refused(f"{ours.rpartition('.')[0]}.{theirs.rpartition('.')[2]}")
    assert refused(f"{other.hex}.{ours.partition('.')[2]}") == (other != session_id)


def signed(body: str) -> str:
    """`body` under our own mac, whatever it says."""
    return f"{body}.{refresh._mac(TOKENS._keys[0], body)}"


def test_what_is_over_long_or_not_ascii_is_refused_even_under_our_own_mac() -> None:
    body = f"{SESSION.hex}.{'x' * 144}"
    assert len(signed(body)) == 200
    assert not refused(signed(body))
    assert refused(signed(body + "x"))
    assert refused(signed(f"{SESSION.hex}.é"))


def test_the_parts_of_two_tokens_do_not_mix() -> None:
    one, two = (TOKENS.issue(session_id)[0].split(".") for session_id in (SESSION, UUID(int=7)))
    for mixed in ([one[0], two[1], two[2]], [two[0], one[1], two[2]], [one[0], one[1], two[2]], [two[0], *one[1:]]):
        assert refused(".".join(mixed))


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


@pytest.mark.parametrize("token", ["x" * 201, "x" * 1_000_000, GOOD + "é"], ids=["long", "a megabyte", "no ASCII"])
def test_what_cannot_be_a_token_costs_no_work(monkeypatch: pytest.MonkeyPatch, token: str) -> None:
    def work(*_: object) -> NoReturn:
        pytest.fail("a MAC was computed")

    monkeypatch.setattr(refresh, "_mac", work)
    assert refused(token)


@given(st.text(max_size=220))
def test_no_text_makes_reading_fail(text: str) -> None:
    assert refused(text)
    assert refused(f"{SESSION.hex}.{text}")
