"""`Rooms`: memory is used again, and never while anybody sees it."""

from hypothesis import given
from hypothesis import strategies as st

from portal.strongbox.rooms import Rooms

SIZES = st.integers(0, 40)


@given(st.lists(st.tuples(SIZES, st.booleans(), st.integers(0, 8))))
def test_what_is_held_stays_as_it_was_written(steps: list[tuple[int, bool, int]]) -> None:
    rooms, held = Rooms(), list[tuple[memoryview, bytes]]()
    for number, (size, keep, skip) in enumerate(steps):
        view = rooms.take(size)
        assert len(view) == size
        view[:] = bytes([number % 256]) * size
        if keep:
            held.append((view[skip:], bytes(view[skip:])))  # a slice holds it as well as the whole
        elif held:
            held.pop(0)
        del view
        assert all(seen == written for seen, written in held)


def test_memory_that_nobody_sees_is_used_again() -> None:
    rooms = Rooms()
    first = rooms.take(100)
    first[:5] = b"first"
    second = rooms.take(100)
    second[:6] = b"second"
    part = first[2:4]
    del first
    assert bytes(rooms.take(100)[:5]) == bytes(5)  # new: a part of the first is still seen
    del part
    assert {bytes(rooms.take(100)[:5]), bytes(rooms.take(10)[:5])} <= {b"first", bytes(5)}


def test_a_room_that_is_too_small_is_not_used() -> None:
    rooms = Rooms()
    rooms.take(10)
    assert len(rooms.take(11)) == 11
