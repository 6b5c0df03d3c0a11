"""System calls of a running portal, as strace sees and breaks them.

Comes in: a process. Leaves: its calls in order, with the paths of their descriptors; or a process whose k-th call of a
kind fails. strace follows the threads that a process has and those it starts.
"""

import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..conftest import skip

_LINE = re.compile(r"(?P<thread>\d+) +(?:<\.\.\. (?P<resumed>\w+) resumed>)?(?P<rest>.*)")
_CALL = re.compile(r"(?P<name>\w+)\((?P<arguments>.*)\) += (?P<result>-?\d+|\?)(?P<note>.*)", re.DOTALL)
_UNFINISHED = (" <unfinished ...>", " <detached ...>")
_PATIENCE_SECONDS = 30
_LAST_LINE = 100  # bytes that it has at most


@dataclass(frozen=True, slots=True)
class Call:
    """One system call. `began` and `ended` are places in the order of everything that was seen.

    `arguments` has descriptors as `7</their/path>`. `result` is None for a call that never returned.
    """

    thread: int
    name: str
    arguments: str
    result: int | None
    note: str
    began: int
    ended: int

    @property
    def failed(self) -> bool:
        return self.result is not None and self.result < 0

    @property
    def injected(self) -> bool:
        """Whether it was strace that made it fail."""
        return "(INJECTED)" in self.note


@contextmanager
def traced(
    process: int,
    to: Path,
    *,
    calls: Sequence[str],
    inject: str | None = None,
    string_bytes: int = 32,
    hexed: bool = False,
) -> Iterator[None]:
    """Write down the `calls` of a process and all its threads while the block runs.

    `inject` is strace's own word, as `fsync:error=EIO:when=3`; it counts in each thread for itself. `string_bytes` of
    each buffer are kept, all of them in hex where `hexed`. Skips the test where there is no strace or it
    may not attach.
    """
    command = _strace(to, calls, string_bytes) + (["-xx"] if hexed else [])
    command += (["-e", f"inject={inject}"] if inject else []) + ["-p", str(process)]
    watcher = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert watcher.stderr is not None
    try:
        said = watcher.stderr.readline()  # it says so when it is there
        if "Operation not permitted" in said:
            skip(f"strace may not attach to a running process here: {said}")
        assert "attached" in said, said
        yield
    finally:
        watcher.send_signal(signal.SIGINT)
        _see_off(watcher)


def before(to: Path, *, calls: Sequence[str], inject: str | None = None, string_bytes: int = 32) -> list[str]:
    """What to put before a command, so that it is traced from its first call to its last. It stays our own child: its
    id and its signals are its own. `ended` tells when the trace is complete."""
    command = [*_strace(to, calls, string_bytes), "-D", "--seccomp-bpf"]
    return command + (["-e", f"inject={inject}"] if inject else [])


def ended(trace: Path, process: int) -> bool:
    """Whether the last line is there: how the process ended."""
    with trace.open("rb") as file:
        file.seek(max(0, trace.stat().st_size - _LAST_LINE))
        return re.search(rb"^%d +\+\+\+ .* \+\+\+\n\Z" % process, file.read(), re.MULTILINE) is not None


def read(trace: Path) -> list[Call]:
    """The calls of a trace in the order in which they ended; those that never did come last."""
    begun: dict[int, tuple[int, str]] = {}
    found: list[Call] = []
    lines = trace.read_text().splitlines()
    for number, line in enumerate(lines):
        match = _LINE.fullmatch(line)
        if match is None or match["rest"].startswith(("+++", "---")):
            continue
        thread, rest, began = int(match["thread"]), match["rest"], number
        if match["resumed"]:
            began, start = begun.pop(thread, (number, f"{match['resumed']}("))
            rest = start + rest
        if rest.endswith(_UNFINISHED):
            begun[thread] = (began, rest.rpartition(" <")[0])
        elif call := _call(thread, rest, began, number):
            found.append(call)
    never = [(thread, began, text) for thread, (began, text) in begun.items()]
    return found + [Call(t, *text.partition("(")[::2], None, "", b, len(lines)) for t, b, text in never]


def _see_off(watcher: subprocess.Popen[str]) -> None:
    """Let strace end. Told to while its process dies, it can wait for the leader, and the leader for its threads."""
    try:
        watcher.communicate(timeout=_PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        watcher.kill()
        watcher.communicate()


def _strace(to: Path, calls: Sequence[str], string_bytes: int) -> list[str]:
    strace = shutil.which("strace")
    if strace is None:
        skip("no strace: install it, or let .ci/run do it")
    # -v: long lists of buffers are kept whole
    return [strace, "-f", "-y", "-v", "-s", str(string_bytes), "-o", str(to), "-e", f"trace={','.join(calls)}"]


def _call(thread: int, text: str, began: int, ended: int) -> Call | None:
    match = _CALL.fullmatch(text)
    if match is None:
        return None
    result = None if match["result"] == "?" else int(match["result"])
    return Call(thread, match["name"], match["arguments"], result, match["note"], began, ended)
