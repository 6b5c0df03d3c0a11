"""A master key, split among people: which shares make it, and what is said of others."""

import os
from itertools import combinations, pairwise

import pytest
from shamir_mnemonic import combine_mnemonics, generate_mnemonics

from portal.core.errors import InvalidInput
from portal.core.secrets import Secret
from portal.crypto.shares import KeyShare, combine, split

KEY = Secret(bytes(range(32)))


def parsed(texts: list[str]) -> list[KeyShare]:
    return [KeyShare.parse(text) for text in texts]


def test_any_of_them_make_the_key_in_any_order_and_all_of_them_do() -> None:
    shares = parsed(split(KEY, 5, 3))
    for some in combinations(shares, 3):
        assert combine(some) == combine(some[::-1]) == KEY
    assert combine(shares) == KEY
    assert [(share.number, share.threshold) for share in shares] == [(n, 3) for n in range(1, 6)]


@pytest.mark.parametrize(("shares", "threshold"), [(2, 2), (16, 16), (16, 2)])
def test_the_smallest_and_the_largest_split(shares: int, threshold: int) -> None:
    made = parsed(split(KEY, shares, threshold))
    assert len(made) == shares
    assert combine(made[-threshold:]) == KEY


def test_another_program_for_such_shares_makes_the_same_key_and_the_other_way_round() -> None:
    assert combine_mnemonics(split(KEY, 3, 2)[1:]) == KEY.reveal()
    assert combine(parsed(generate_mnemonics(1, [(2, 3)], KEY.reveal())[0][:2])) == KEY


def test_two_splits_of_one_key_differ_and_do_not_mix() -> None:
    one, two = parsed(split(KEY, 3, 2)), parsed(split(KEY, 3, 2))
    with pytest.raises(InvalidInput, match="of different splits"):
        combine([one[0], two[1]])


def test_a_share_that_only_looks_like_one_of_the_split_is_told() -> None:
    shares, other = parsed(split(KEY, 4, 2)), parsed(split(Secret(os.urandom(32)), 4, 2))
    forged = KeyShare(other[3].number, 2, shares[0].split, other[3].words)
    with pytest.raises(InvalidInput, match="of another split"):
        combine([shares[0], shares[1], forged])


def test_too_few_and_one_that_is_there_twice_are_told() -> None:
    shares = parsed(split(KEY, 5, 3))
    with pytest.raises(InvalidInput, match=r"^3 shares are needed, 2 are there$"):
        combine(shares[:2])
    with pytest.raises(InvalidInput, match="there twice"):
        combine([shares[0], shares[1], shares[1]])


def test_what_is_mistyped_is_told_by_its_place_and_never_shown() -> None:
    words = split(KEY, 3, 2)[0].split()
    wrong = {
        "word 7 of a share": [*words[:6], "c4n4ry", *words[7:]],
        "this one has 32": words[:-1],
        "this one has 34": [*words, words[0]],
        "do not fit": [*words[:8], words[9], words[8], *words[10:]] if words[8] != words[9] else words[::-1],
        "this one has 0": [],
    }
    for told, typed in wrong.items():
        with pytest.raises(InvalidInput, match=told) as caught:
            KeyShare.parse(" ".join(typed))
        assert not any(" ".join(pair) in str(caught.value) for pair in pairwise(typed))
        assert "c4n4ry" not in str(caught.value)
        assert caught.value.__cause__ is None
    assert KeyShare.parse("\n  ".join(words).upper()).number == 1


@pytest.mark.parametrize(
    "mnemonics",
    [
        generate_mnemonics(1, [(2, 3)], bytes(16)),
        generate_mnemonics(1, [(2, 3)], bytes(32), iteration_exponent=2),
        generate_mnemonics(2, [(2, 3), (2, 3)], bytes(32)),
    ],
    ids=["another length", "more rounds", "groups"],
)
def test_shares_of_something_else_are_refused(mnemonics: list[list[str]]) -> None:
    with pytest.raises(InvalidInput, match=r"something else|33 words"):
        KeyShare.parse(mnemonics[0][0])


def test_a_share_shows_no_word() -> None:
    (text, *_) = split(KEY, 3, 2)
    assert not any(word in repr(KeyShare.parse(text)) for word in text.split()[4:])
