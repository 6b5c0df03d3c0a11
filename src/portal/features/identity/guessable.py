"""What can be guessed: the one door to `zxcvbn`, its 30,000 common passwords, its words and its keyboards.

Comes in: a password. Leaves: yes or no. There are no rules of composition: only what guessers try first is refused.
"""

from zxcvbn import zxcvbn

_LOOKED_AT = 32  # characters: it takes a second for each 40 that were chosen to be hard
_FEWEST_GUESSES = 1_000_000


def is_guessable(password: str) -> bool:
    """Whether its beginning is among the first million guesses: common, a word or two, repeated, a walk, a date."""
    return bool(zxcvbn(password[:_LOOKED_AT])["guesses"] < _FEWEST_GUESSES)
