"""The one error of a run whose figures would be worth nothing."""


class Failed(Exception):
    """Says in a sentence what went wrong."""
