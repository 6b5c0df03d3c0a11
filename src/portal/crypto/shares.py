"""A master key, split among people: shares of SLIP-39, of which some are enough and fewer say nothing of the key.

Comes in: a master key; or the words of shares, as people type them. Leaves: the words of new shares; or the key. No
error holds a word. There is no passphrase: it would be one more thing to lose, and a wrong one cannot be told from a
right one. Next: `cli/key_shares`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from shamir_mnemonic import MnemonicError, Share, combine_mnemonics, generate_mnemonics, wordlist

from portal.core.errors import InvalidInput
from portal.core.secrets import KEY_BYTES, Secret

_WORDS = 33
_ROUNDS = 1  # an exponent: a share that asks for millions of rounds of its cipher is not ours


@dataclass(frozen=True, slots=True)
class KeyShare:
    """One share: `threshold` of its split are enough for the key. `split` is the same for all of one split."""

    number: int
    threshold: int
    split: tuple[int, int] = field(repr=False)
    words: Secret = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> "KeyShare":
        """The share that these words are. Raises InvalidInput, which tells what is wrong and shows no word."""
        words = text.lower().split()
        for place, word in enumerate(words, 1):
            if not _is_word(word):
                raise InvalidInput(f"word {place} of a share is none of the words that shares are made of")
        if len(words) != _WORDS:
            raise InvalidInput(f"a share has {_WORDS} words, this one has {len(words)}")
        try:
            share = Share.from_mnemonic(" ".join(words))
        except MnemonicError:
            raise InvalidInput(
                "the words of a share do not fit together: one is mistaken, or two are swapped"
            ) from None
        if share.group_count != 1 or share.iteration_exponent != _ROUNDS or len(share.value) != KEY_BYTES:
            raise InvalidInput("this is a share of something else than a master key of the portal")
        named = (share.identifier, share.member_threshold)
        return cls(share.index + 1, share.member_threshold, named, Secret(" ".join(words).encode()))


def split(key: Secret, shares: int, threshold: int) -> list[str]:
    """The words of new shares. `threshold` is from 2 to `shares`, which is at most 16."""
    group: list[str]
    (group,) = generate_mnemonics(1, [(threshold, shares)], key.reveal(), iteration_exponent=_ROUNDS)
    if combine([KeyShare.parse(words) for words in group]) != key:
        raise RuntimeError("shares that do not make the key again")
    return group


def combine(shares: Sequence[KeyShare]) -> Secret:
    """The key. Every share is used, also where fewer were enough. Raises InvalidInput."""
    if len({share.split for share in shares}) != 1:
        raise InvalidInput("the shares are of different splits: take those of one")
    if len({share.number for share in shares}) != len(shares):
        raise InvalidInput("a share is there twice")
    threshold = shares[0].threshold
    if len(shares) < threshold:
        raise InvalidInput(f"{threshold} shares are needed, {len(shares)} are there")
    first, key = shares[: threshold - 1], None
    for share in shares[threshold - 1 :]:
        found = _combined([*first, share])
        if key not in {None, found}:
            raise InvalidInput(f"share {share.number} does not belong to the others")
        key = found
    if key is None:
        raise RuntimeError("shares of which none was used")
    return key


def _combined(shares: Sequence[KeyShare]) -> Secret:
    try:
        return Secret(combine_mnemonics([share.words.reveal().decode() for share in shares]))
    except MnemonicError:
        raise InvalidInput("the shares do not make a key: one of them is of another split") from None


def _is_word(text: str) -> bool:
    try:
        wordlist.mnemonic_to_indices(text)
    except MnemonicError:
        return False
    return True
