"""What can be seen of a portal from outside and from behind: problems in its answers, rows and blobs in its folder."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx

from .conftest import Served
from .raw import Wire

_BETWEEN_LOOKS = 0.025


def problem(answer: httpx.Response) -> tuple[int, str]:
    """Status and code of a problem document, after its form was checked."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    body = answer.json()
    assert body["status"] == answer.status_code
    assert body["type"] == f"urn:portal:problem:{body['code']}"
    assert body["title"]
    assert body["detail"]
    assert body["request_id"] == answer.headers["x-request-id"]
    return answer.status_code, body["code"]


def eventually(seen: Callable[[], bool], *, seconds: int = 10) -> bool:
    """Look until it is seen, for so long at most."""
    for _ in range(int(seconds / _BETWEEN_LOOKS)):
        if seen():
            return True
        time.sleep(_BETWEEN_LOOKS)
    return False


def rows(portal: Served, statement: str, *values: str) -> list[Any]:
    """What the embedded database answers."""
    with closing(sqlite3.connect(portal.folder / "var" / "portal.db")) as connection:
        return connection.execute(statement, values).fetchall()


def statuses(portal: Served, name: str) -> list[str]:
    """The statuses of every file that ever had this name."""
    return [status for (status,) in rows(portal, "SELECT status FROM files WHERE name = ?", name)]


def blob_file(portal: Served, file_id: str) -> Path:
    """Where the one blob of a file rests, or would."""
    ((key,),) = rows(portal, "SELECT id FROM blobs WHERE file_id = ?", UUID(file_id).hex)
    return portal.folder / "var" / "store" / "blobs" / str(key)[-2:] / str(key)


def kept(portal: Served) -> list[str]:
    """The names of everything in the store, finished or not, but for its own id and the blobs that wait to go."""
    store = portal.folder / "var" / "store"
    waiting = {key for (key,) in rows(portal, "SELECT id FROM blobs WHERE goes_at IS NOT NULL")}
    return sorted(path.name for path in store.glob("*/**/*") if path.is_file() and path.name not in waiting)


def known(portal: Served) -> list[str]:
    """The names of the blobs that listed files have in the store."""
    blobs = "SELECT b.id FROM blobs b JOIN files f ON f.id = b.file_id"
    named = "f.status IN ('ready', 'quarantined') AND b.store <> 'row'"
    return sorted(key for (key,) in rows(portal, f"{blobs} WHERE {named}"))


def events(portal: Served, file_id: str) -> list[dict[str, Any]]:
    """The audit record of one file."""
    return [event for event in portal.audit() if event["subject"] == file_id]


def outcomes(portal: Served, file_id: str) -> list[str]:
    """How the downloads of a file ended."""
    return [event["details"]["outcome"] for event in events(portal, file_id) if event["event"] == "file.download_ended"]


def descriptors(portal: Served) -> int:
    """How many files, sockets and pipes the portal has open."""
    assert portal.process is not None
    return len(list(Path(f"/proc/{portal.process.pid}/fd").iterdir()))


def memory(portal: Served, field: str = "VmRSS") -> int:
    """Bytes of resident memory: VmRSS now, VmHWM at its highest."""
    assert portal.process is not None
    status = Path(f"/proc/{portal.process.pid}/status").read_text()
    return next(int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith(f"{field}:"))


@contextmanager
def a_bug(portal: Served, file_id: str) -> Iterator[None]:
    """Something in the rows that nobody foresaw, for as long as the block lasts."""
    with closing(sqlite3.connect(portal.folder / "var" / "portal.db", isolation_level=None)) as connection:
        change = "UPDATE files SET verdict = ? WHERE id = ?"
        connection.execute(change, ("unforeseen", UUID(file_id).hex))
        try:
            yield
        finally:
            connection.execute(change, ("not_scanned", UUID(file_id).hex))


def is_taken(portal: Served, wire: Wire) -> bool:
    """Whether the portal has read all that came on this connection, and waits."""
    ours, theirs = portal.port, wire.port
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, _, queues, *_ = line.split()
        if (int(local.rpartition(":")[2], 16), int(remote.rpartition(":")[2], 16)) == (ours, theirs):
            return int(queues.rpartition(":")[2], 16) == 0
    return False
