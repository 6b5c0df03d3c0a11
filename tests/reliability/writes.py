"""What of a file's content a traced process could have written down, judged at the system call.

Comes in: the calls of a trace that kept every buffer whole. Leaves: a line for each call that wrote a canary to a file,
or that could have hidden one. Any path counts, also that of a file that has no name any more; sockets and pipes do not.
"""

import re
import secrets
from collections.abc import Iterable
from pathlib import Path

from . import strace
from .strace import Call

_DATA = {"write", "pwrite64", "writev", "pwritev", "pwritev2"}
_BLIND = {  # they move bytes that no trace shows
    "copy_file_range",
    "io_submit",
    "io_uring_setup",
    "memfd_create",
    "sendfile",
    "splice",
    "tee",
    "vmsplice",
}
_CALLS = sorted(_DATA | _BLIND | {"mmap", "openat"})
_LONGEST = 4 << 20  # bytes of a buffer that are kept; a longer write is a finding too
_FILE = re.compile(r"\d+<(?P<path>/[^>]*)>(?P<gone>\(deleted\))?")


def watch(trace: Path) -> list[str]:
    """What to put before a command whose writes are to be judged. It gets no ring of the kernel's (libuv would take one
    for its own bookkeeping): what could be written through one has to be a call."""
    return strace.before(trace, calls=_CALLS, string_bytes=_LONGEST, inject="io_uring_setup:error=ENOSYS")


def a_canary() -> str:
    """32 letters and digits: strace shows those as they are."""
    return secrets.token_hex(16)


def filled_with(canary: str, size: int) -> bytes:
    """The canary over and over, so that any 63 bytes hold it whole."""
    return (canary * (size // len(canary) + 1)).encode()[:size]


def findings(calls: Iterable[Call], canaries: Iterable[str]) -> list[str]:
    """What must not be in the trace of a portal: has to be empty."""
    looked_for = list(canaries)
    return [f"{call.name}: {what}" for call in calls if (what := _finding(call, looked_for)) is not None]


def to_file(call: Call) -> str | None:
    """The path of the file that this call writes its buffer to."""
    match = _FILE.match(call.arguments) if call.name in _DATA else None
    return None if match is None else match["path"]


def written(calls: Iterable[Call], path: Path) -> int:
    """How many bytes were seen on their way into this file, or into the files of this folder."""
    there = (call for call in calls if (target := to_file(call)) is not None and Path(target).is_relative_to(path))
    return sum(call.result or 0 for call in there)


def sent(calls: Iterable[Call], canary: str) -> bool:
    """Whether a canary was seen on its way into a socket: a watch that sees it there would see it elsewhere."""
    return any(call.name in _DATA and to_file(call) is None and canary in call.arguments for call in calls)


def lying_in(folder: Path, canaries: Iterable[str]) -> list[Path]:
    """Every file below `folder` that holds a canary."""
    looked_for = [canary.encode() for canary in canaries]
    files = [(path, path.read_bytes()) for path in folder.rglob("*") if path.is_file()]
    return [path for path, content in files if any(canary in content for canary in looked_for)]


def _finding(call: Call, canaries: list[str]) -> str | None:
    if call.failed:
        return None
    if call.name in _BLIND or (call.name == "mmap" and _maps_a_file(call)):
        return f"bytes that cannot be seen, {call.arguments}"
    if call.name == "openat" and "O_TMPFILE" in call.arguments:
        return f"a file without a name, {call.arguments}"
    match = _FILE.match(call.arguments) if call.name in _DATA else None
    return None if match is None else _writing(call, match, canaries)


def _writing(call: Call, file: re.Match[str], canaries: list[str]) -> str | None:
    if any(canary in call.arguments for canary in canaries):
        return f"content in clear to {file[0]}"
    if file["gone"]:
        return f"a file without a name, {file[0]}"
    return f"more than was kept to {file[0]}" if (call.result or 0) > _LONGEST else None


def _maps_a_file(call: Call) -> bool:
    """Whether it can be written to from now on without a call. SQLite does that with page numbers, in its -shm file."""
    match = _FILE.search(call.arguments)
    shared = "MAP_SHARED" in call.arguments and "PROT_WRITE" in call.arguments
    return shared and match is not None and not match["path"].endswith("-shm")
