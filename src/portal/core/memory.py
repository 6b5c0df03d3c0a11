"""Memory that was freed goes back to the system: after a rush the allocator would keep it, and look like a leak."""

import contextlib
import ctypes


def release_free_memory() -> None:
    """Have glibc return its free pages; other allocators do it by themselves. Takes milliseconds: for a thread."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
