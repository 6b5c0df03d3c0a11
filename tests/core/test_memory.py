import ctypes
from pathlib import Path

import pytest

from portal.core.memory import release_free_memory

SIZE = 64 << 20
PIECE = 4 << 10  # small enough for the allocator to keep it, however large everything is


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) << 12


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="another allocator than glibc's")
def test_what_was_freed_goes_back_to_the_system() -> None:
    pieces = [bytes(PIECE) for _ in range(SIZE // PIECE)]
    kept = pieces[-1:]  # at the top of the heap, so that nothing below it goes back by itself
    held = resident()
    del pieces
    release_free_memory()
    assert resident() < held - SIZE // 2
    assert kept
