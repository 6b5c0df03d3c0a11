"""What may go wrong: a run whose figures would be worth nothing, and a program that is not here."""


class Failed(Exception):
    """Says in a sentence what went wrong."""


class Absent(Exception):
    """Says what cannot be measured here, and why. The rest of the run goes on."""
