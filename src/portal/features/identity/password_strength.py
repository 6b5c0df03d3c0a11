"""What can be guessed: the one door to `zxcvbn`, its 30,000 common passwords, its words and its keyboards.

Comes in: a password. Leaves: yes or no. There are no rules of composition: only what guessers try first is refused.

`common_passwords.txt` has the 3,000 most common passwords that have the twelve characters of the policy, the commonest
first: taken from the first million of Mark Burnett's ten million passwords, which he gave to the public domain (CC0).
"""

from pathlib import Path
from typing import Final

from zxcvbn import zxcvbn

from portal.features.identity.names import name_key

_LOOKED_AT = 24  # characters: what they cost grows with their square, and a quarter of a second is the most
_FEWEST_GUESSES = 1_000_000
COMMON: Final = frozenset(Path(__file__).with_name("common_passwords.txt").read_text("ascii").splitlines())


def is_guessable(password: str) -> bool:
    """Whether it is common, or its beginning among the first million guesses: words, repeats, a walk, a date."""
    return name_key(password) in COMMON or bool(zxcvbn(password[:_LOOKED_AT])["guesses"] < _FEWEST_GUESSES)
