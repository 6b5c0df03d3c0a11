"""One file in, one file out, one file gone: the timed path, and what is checked when the clock has stopped.

Comes in: a server and a source. Leaves: seconds. Next: `rows/` makes figures of them.
"""

import hashlib
import itertools
import mmap
import time

from bench import client
from bench.failure import Failed
from bench.peers.base import Server, Stored
from bench.peers.portal import FORM_PATH
from bench.sources import Source, prefault

_BOUNDARY = "bench-8f2c1e7d"
_NUMBERS = itertools.count()


def new_name() -> str:
    """A name that no file of this run had."""
    return f"file-{next(_NUMBERS)}.bin"


def put(server: Server, source: Source) -> tuple[float, Stored]:
    """Hand a file in as the body."""
    name = new_name()
    head = server.request("PUT", server.upload_path(name), length=source.size)
    seconds, body = _sent(server, head, source)
    return seconds, checked(server.stored(name, body), source.sha256)


def put_form(server: Server, source: Source) -> tuple[float, Stored]:
    """Hand the same file in as a form: the file goes between two pieces that are ready before the clock starts."""
    name = new_name()
    before = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'.encode()
    behind = f"\r\n--{_BOUNDARY}--\r\n".encode()
    kind = f"Content-Type: multipart/form-data; boundary={_BOUNDARY}\r\n"
    head = server.request("POST", FORM_PATH, length=len(before) + source.size + len(behind), more=kind)
    seconds, body = _sent(server, head + before, source, behind)
    return seconds, checked(server.stored(name, body), source.sha256)


def get(server: Server, stored: Stored, source: Source, room: mmap.mmap) -> float:
    """Take a file out; what came is the source, or the run fails."""
    view = memoryview(room)
    with client.connect(server.port) as connection:
        request = server.request("GET", stored.content)
        started = time.perf_counter()
        connection.sendall(request)
        answer = client.receive(connection, view)
        seconds = time.perf_counter() - started
    if hashlib.sha256(view[answer.start : answer.end]).hexdigest() != source.sha256:
        raise Failed(f"{server.name} gave other bytes back")
    return seconds


def prove(server: Server, stored: Stored, source: Source, room: mmap.mmap) -> None:
    """After the clock: who told no digest has to give the bytes back."""
    if stored.sha256 is None:
        get(server, stored, source, room)


def remove(server: Server, stored: Stored) -> None:
    with client.connect(server.port) as connection:
        client.exchange(connection, server.request("DELETE", stored.entry))


def warm_up(server: Server, source: Source, times: int = 4) -> None:
    """What a server does at its first requests only is done before anything is measured."""
    prefault(source.path)
    for _ in range(times):
        remove(server, put(server, source)[1])


def checked(stored: Stored, sha256: str) -> Stored:
    if stored.sha256 not in {None, sha256}:
        raise Failed(f"another digest than that of the source: {stored.sha256}")
    return stored


def _sent(server: Server, head: bytes, source: Source, behind: bytes = b"") -> tuple[float, bytes]:
    """Seconds from the first byte of the head to the last of the answer, and the answer's body."""
    with client.connect(server.port) as connection:
        started = time.perf_counter()
        client.send_file(connection, head, source.path, behind)
        body = client.short(connection)
        return time.perf_counter() - started, body
