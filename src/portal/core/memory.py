"""The return of freed memory to the system: after a peak the allocator would retain it, which looks like a leak."""

import contextlib
import ctypes


def release_free_memory() -> None:
    """Make glibc return its free pages; other allocators do so by themselves. Blocks for milliseconds: use a thread."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
