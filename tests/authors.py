"""Who makes the statement that is being executed: for guards that look at the portal's own statements.

Comes in: the stack of the call, through SQLAlchemy's greenlet. Leaves: `module.function`. Next: `scans` and `plans`.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import greenlet  # type: ignore[import-untyped]

import portal

_PORTAL = str(Path(portal.__path__[0]))
_TESTS = str(Path(__file__).parent)
_GUARDS = {str(Path(__file__).with_name(name)) for name in ("authors.py", "scans.py", "plans.py")}


def of_statement() -> str:
    """The nearest function outside `db` and the libraries: the portal's, or a test's."""
    return next(f"{frame.f_globals['__name__']}.{frame.f_code.co_name}" for frame in _frames() if _is_author(frame))


def _is_author(frame: FrameType) -> bool:
    file = frame.f_code.co_filename
    return file.startswith((_PORTAL, _TESTS)) and "/portal/db/" not in file and file not in _GUARDS


def _frames() -> Iterator[FrameType]:
    """The stack, and where it is a greenlet's that of the coroutine that waits for it."""
    yield from _outwards(sys._getframe())
    parent = greenlet.getcurrent().parent
    if parent is not None:
        yield from _outwards(parent.gr_frame)


def _outwards(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back
