"""Memory for plaintext that is on its way to a reader, used again as soon as no view of it is left.

Comes in: a number of bytes. Leaves: a writable view of so many. A view, or a slice of one, stays valid for as long as
it is held: nobody has to say when they are done. Next: `reader` opens segments into these views.
"""

from threading import Lock

_KEPT = 4  # rooms: one that is sent, one that waits, one that is filled, and one that a frame still holds


class Rooms:
    """The rooms of one reader. Safe for several threads. Their memory is freed with their last view.

    It is the allocator's: new pages of the system's would cost more than all else of a short range.
    """

    def __init__(self) -> None:
        self._rooms: list[bytearray] = []
        self._lock = Lock()

    def take(self, size: int) -> memoryview:
        """A view of `size` bytes, whatever they hold."""
        with self._lock:
            for room in self._rooms:
                if len(room) >= size and _is_unused(room):
                    return memoryview(room)[:size]
            room = bytearray(max(size, 1))
            self._rooms = [room, *self._rooms[: _KEPT - 1]]
            return memoryview(room)[:size]


def _is_unused(room: bytearray) -> bool:
    """Whether no view of `room` is left: Python refuses to resize memory that anybody sees."""
    try:
        room.append(room.pop())
    except BufferError:
        return False
    return True
