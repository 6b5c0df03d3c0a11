"""What the kernel says of a server: who belongs to it, what it used, and whether the port is its own.

Comes in: a process id. Leaves: ids, seconds, bytes. Read from /proc, which costs the server nothing.
"""

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

_PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")
_LISTENS = "0A"
_FORGET_PEAK = "5"


def tree(root: int) -> list[int]:
    """The process and all that descend from it."""
    parents = {pid: int(fields[1]) for pid in _all() if (fields := _stat(pid))}
    found = [root]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def cpu_seconds(root: int) -> float:
    """User and system time of all its processes so far."""
    return sum(int(ticks) for pid in tree(root) for ticks in _stat(pid)[11:13]) / _TICKS


def memory(root: int, field: str) -> int:
    """Bytes of `VmRSS` or `VmHWM`, summed over its processes."""
    found = 0
    for pid in tree(root):
        for line in (_PROC / str(pid) / "status").read_text().splitlines():
            found += int(line.split()[1]) << 10 if line.startswith(f"{field}:") else 0
    return found


def forget_peak(root: int) -> None:
    """From now on `VmHWM` counts anew."""
    for pid in tree(root):
        (_PROC / str(pid) / "clear_refs").write_text(_FORGET_PEAK)


def listens(root: int, port: int) -> bool:
    """Whether one of its processes holds the socket that listens on this port of 127.0.0.1."""
    wanted = {f"socket:[{inode}]" for inode in _listening(port)}
    return any(target in wanted for pid in tree(root) for target in _descriptors(pid))


def _listening(port: int) -> Iterable[str]:
    lines = (_PROC / "net" / "tcp").read_text().splitlines()[1:]
    for _, address, _, state, _, _, _, _, _, inode, *_ in (line.split() for line in lines):
        if state == _LISTENS and address == f"0100007F:{port:04X}":
            yield inode


def _descriptors(pid: int) -> Iterable[str]:
    with contextlib.suppress(FileNotFoundError, PermissionError):  # it has just ended, or hides from its own user
        for entry in (_PROC / str(pid) / "fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # it has just been closed
                yield str(entry.readlink())


def _all() -> list[int]:
    return [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit()]


def _stat(pid: int) -> list[str]:
    """The fields behind the command's name: the state is the first. Nothing where it has just ended."""
    try:
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []
