"""Password strength, by `zxcvbn`: its 30,000 common passwords, its words and its keyboards. The only module that
imports it.

There are no composition rules. Only the passwords that an attacker tries first are refused.

`common_passwords.txt` has the 3,000 most common passwords of at least twelve characters, the policy's minimum, the most
common first. They are from the first million of Mark Burnett's ten million passwords, which are in the public domain
(CC0).
"""

from pathlib import Path
from typing import Final

from zxcvbn import zxcvbn

from portal.features.identity.names import name_key

_LOOKED_AT = 24  # characters: the time grows with their square, and this bounds it to a quarter of a second
_FEWEST_GUESSES = 1_000_000
COMMON: Final = frozenset(Path(__file__).with_name("common_passwords.txt").read_text("ascii").splitlines())


def is_guessable(password: str) -> bool:
    """Whether a password is common, or its first 24 characters are among the first million guesses.

    The guesses are words, repetitions, keyboard walks and dates. CPU-bound: run it in a thread.
    """
    return name_key(password) in COMMON or bool(zxcvbn(password[:_LOOKED_AT])["guesses"] < _FEWEST_GUESSES)
