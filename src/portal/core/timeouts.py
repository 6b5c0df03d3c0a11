"""The timeouts for slow clients, as one frozen value: `config` creates it, `web` enforces it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ClientTimeouts:
    """How slow a client may be.

    A request head must arrive within `head_seconds`. A body (sent) or a response (read) must move at least
    `stall_bytes` in every `stall_seconds`, or the connection is cut. Example: 60 s and 1,000 bytes/s cut off a client
    that moves less than 60,000 bytes in 60 s.
    """

    head_seconds: int
    stall_seconds: int
    bytes_per_second: int

    @property
    def stall_bytes(self) -> int:
        """The minimum of bytes that must move in `stall_seconds`."""
        return self.stall_seconds * self.bytes_per_second
