"""How long the portal waits for a client, as one frozen word that settings make and the web floor obeys."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ClientTimeouts:
    """A head has `head_seconds` to arrive. Whoever sends a body or reads an answer moves `bytes_per_second` on average:
    the least of what `stall_seconds` should bring has come when they are over, or the client is cut off.
    """

    head_seconds: int
    stall_seconds: int
    bytes_per_second: int

    @property
    def stall_bytes(self) -> int:
        """What moves in `stall_seconds` at the least."""
        return self.stall_seconds * self.bytes_per_second
