"""No content is ever written down in clear: every write of a real portal is looked at, as it is made.

What is handed in repeats a canary of its own: wherever the portal cuts it, a write of it would show. That the watch
sees such a write is shown on an app that makes it, and on every other way to write that it has to know.
"""

import contextlib
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from ..e2e.conftest import MakePortal, Served, _free_port
from ..e2e.raw import FORM, Wire, bearer, head, length, part
from ..e2e.seen import blob_file, eventually, statuses
from . import strace, writes
from .conftest import Figures

SIZE = 3_500_001  # three segments and a part of one
SENT = 2_500_000  # of an upload that is cut off: two segments are in the store by then
SEGMENTS = 2 << 20


def started(make_portal: MakePortal, trace: Path) -> Served:
    """A watched portal that says much in its log and keeps its temporary files in its folder."""
    portal = make_portal(DEBUG="true")
    portal.environment["TMPDIR"] = str(portal.folder / "temporary")
    (portal.folder / "temporary").mkdir()
    portal.prepare(analyst="analyst")
    portal.under = writes.watch(trace)
    portal.start()
    return portal


def stopped(portal: Served, trace: Path, how: signal.Signals = signal.SIGTERM) -> list[strace.Call]:
    """Every call it made, from the first to the last."""
    assert portal.process is not None
    process = portal.process.pid
    portal.stop(how)
    assert eventually(lambda: strace.ended(trace, process))
    return strace.read(trace)


def hand_in(client: httpx.Client, way: str, content: bytes) -> httpx.Response:
    if way == "form":
        return client.post("/files", files={"file": ("in.bin", content)})
    return client.put("/upload/in.bin", content=content)


def in_and_out(client: httpx.Client, way: str, content: bytes) -> str:
    """A file handed in, and taken out whole and by range. Its id."""
    path = f"/files/{hand_in(client, way, content).json()['id']}"
    assert client.get(f"{path}/content").content == content
    piece = client.get(f"{path}/content", headers={"Range": "bytes=1000000-2200000"})
    assert (piece.status_code, piece.content) == (206, content[1_000_000:2_200_001])
    return path.removeprefix("/files/")


def unfinished(portal: Served, name: str) -> Path:
    return portal.folder / "var" / "store" / "tmp" / name


def assert_seen_whole(calls: list[strace.Call], portal: Served, file_id: str, exported: Path) -> None:
    """Every byte of the file's blob and of its export passed the watch."""
    blob, stream = blob_file(portal, file_id), exported / "part-0.tink"
    assert writes.written(calls, unfinished(portal, blob.name)) == blob.stat().st_size > SIZE
    assert writes.written(calls, stream) == stream.stat().st_size > SIZE


def watched(portal: Served, trace: Path, *arguments: str) -> list[strace.Call]:
    """Every call that a command made."""
    portal.under = writes.watch(trace)
    portal.cli(*arguments)
    return strace.read(trace)


def assert_seen_anew(calls: list[strace.Call], portal: Served, file_id: str) -> None:
    """Every byte of the blob that replaced another passed the watch."""
    old, new = sorted(blobs_of(portal, file_id))  # their ids tell the order
    assert writes.written(calls, unfinished(portal, new)) == writes.written(calls, unfinished(portal, old)) > SIZE


def blobs_of(portal: Served, file_id: str) -> list[str]:
    with contextlib.closing(sqlite3.connect(portal.folder / "var" / "portal.db")) as connection:
        found = connection.execute("SELECT id FROM blobs WHERE file_id = ?", (UUID(file_id).hex,))
        return [blob_id for (blob_id,) in found]


def test_what_goes_in_and_out_is_never_written_in_clear(
    make_portal: MakePortal, tmp_path: Path, figures: Figures
) -> None:
    trace = tmp_path / "trace"
    portal = started(make_portal, trace)
    handed_in = {writes.a_canary(): way for way in ("form", "raw")}
    with portal.client("analyst") as analyst:
        ids = [in_and_out(analyst, way, writes.filled_with(canary, SIZE)) for canary, way in handed_in.items()]
    assert writes.lying_in(portal.folder, handed_in) == []
    calls = stopped(portal, trace)
    assert all(writes.sent(calls, canary) for canary in handed_in)  # in downloads: the watch is not blind
    for file_id in ids:
        exported = portal.folder / f"exported-{file_id}"
        calls += watched(portal, trace, "files", "export", file_id, "--to", str(exported))
        assert_seen_whole(calls, portal, file_id, exported)
    calls += watched(portal, trace, "keys", "reencrypt", "--file", ids[0])
    assert_seen_anew(calls, portal, ids[0])
    found = writes.findings(calls, handed_in)
    assert found == []
    assert writes.lying_in(portal.folder, handed_in) == []
    seen = sum(writes.to_file(call) is not None for call in calls)
    figures(writes_to_files=seen, bytes_in_them=writes.written(calls, Path("/")), in_clear=len(found))


def test_a_backup_its_restore_and_its_drill_write_nothing_in_clear(make_portal: MakePortal, tmp_path: Path) -> None:
    portal, there, names = make_portal(), make_portal(), writes.a_canary()
    there.environment |= {name: portal.environment[name] for name in ("PORTAL_MASTER_KEY", "PORTAL_SECRET_KEY")}
    portal.prepare(analyst="analyst")
    portal.start()
    canaries = [writes.a_canary() for _ in range(2)]
    with portal.client("analyst") as analyst:
        for canary, size in zip(canaries, (SIZE, 5_000), strict=True):
            assert analyst.put(f"/upload/{names}", content=writes.filled_with(canary, size)).status_code == 201
    portal.stop()
    target = tmp_path / "backup"
    calls = calls_of_backup(portal, tmp_path / "trace", "create", "--to", target.as_uri())
    assert writes.written(calls, target) > SIZE
    assert writes.findings(calls, [*canaries, names]) == []  # nor what the rows say
    assert writes.lying_in(target, [*canaries, names]) == []
    restored = calls_of_backup(there, tmp_path / "trace", "restore", "--from", target.as_uri())
    assert writes.written(restored, there.folder / "var" / "store") > SIZE
    report = ("drill", "--from", target.as_uri(), "--report", "report.json")
    found = writes.findings(restored + calls_of_backup(portal, tmp_path / "trace", *report), canaries)
    assert found == []
    assert writes.lying_in(tmp_path, canaries) == []


def calls_of_backup(portal: Served, trace: Path, *command: str) -> list[strace.Call]:
    """Every call that a command on backups makes, up to its good end."""
    portal.under = writes.watch(trace)
    portal.cli("backup", *command)
    return strace.read(trace)


def half_an_upload(wire: Wire, client: httpx.Client, way: str, content: bytes) -> None:
    if way == "form":
        start = part("file", content, filename="form")[:-2]
        wire.send(head("POST", "/api/v1/files", bearer(client), FORM, length(len(start) + 1000)), start)
    else:
        wire.send(head("PUT", f"/api/v1/upload/{way}", bearer(client), length(len(content) + 1)), content)


def has_failed(portal: Served, name: str) -> bool:
    return statuses(portal, name) == ["failed"]


def bytes_of(portal: Served) -> int:
    """How much of unfinished uploads is in the store."""
    return sum(path.stat().st_size for path in unfinished(portal, "").iterdir())


def test_what_is_cut_off_by_its_client_or_by_kill_leaves_nothing_in_clear(
    make_portal: MakePortal, tmp_path: Path
) -> None:
    portal = started(make_portal, tmp_path / "trace")
    handed_in = {way: writes.a_canary() for way in ("form", "raw", "killed")}
    with portal.client("analyst") as analyst:
        for way in ("form", "raw"):
            with Wire(portal.port) as wire:
                half_an_upload(wire, analyst, way, writes.filled_with(handed_in[way], SENT))
                assert eventually(lambda: bytes_of(portal) >= SEGMENTS)
            assert eventually(partial(has_failed, portal, way))
        with Wire(portal.port) as wire:
            half_an_upload(wire, analyst, "killed", writes.filled_with(handed_in["killed"], SENT))
            assert eventually(lambda: bytes_of(portal) >= SEGMENTS)
            calls = stopped(portal, tmp_path / "trace", signal.SIGKILL)
    assert writes.written(calls, unfinished(portal, "")) >= 2 * SEGMENTS  # the kill may have cut the third write off
    assert writes.findings(calls, handed_in.values()) == []
    assert bytes_of(portal) >= SEGMENTS  # of the killed one: what lies there is sealed
    assert writes.lying_in(portal.folder, handed_in.values()) == []


@contextlib.contextmanager
def spooling(folder: Path) -> Iterator[httpx.Client]:
    """The app that takes an UploadFile, in a watched process of its own."""
    port = _free_port()
    program = ["-m", "uvicorn", "--app-dir", str(Path(__file__).parent), "--port", str(port), "spooling:app"]
    command = [*writes.watch(folder / "trace"), sys.executable, *program]
    with (folder / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as app:
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
                assert any(eventually(partial(answers, client)) for _ in range(6)), (folder / "log").read_text()
                yield client
        finally:
            app.kill()
    assert eventually(lambda: strace.ended(folder / "trace", app.pid))


def answers(client: httpx.Client) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return client.get("/").status_code == 404
    return False


def test_the_watch_finds_the_temporary_file_of_an_upload_file(tmp_path: Path) -> None:
    """So `test_what_goes_in_and_out_is_never_written_in_clear` fails when someone brings UploadFile back."""
    canary = writes.a_canary()
    with spooling(tmp_path) as client:
        assert hand_in(client, "form", writes.filled_with(canary, SIZE)).json() == SIZE
    found = writes.findings(strace.read(tmp_path / "trace"), [canary])
    assert any(f.startswith("write: content in clear to ") and f.endswith(">(deleted)") for f in found), found


WAYS = {  # one line of Python each, and what is to be found of it
    "os.write(file, data)": "write: content in clear",
    "os.pwrite(file, data[9:72], 3)": "pwrite64: content in clear",
    "os.writev(file, [b'.'] * 50 + [data])": "writev: content in clear",
    "os.pwritev(file, [data], 0, os.RWF_DSYNC)": "pwritev2: content in clear",
    "os.unlink('file'); os.write(file, b'other')": "write: a file without a name",
    "os.open('/dev/shm', os.O_TMPFILE | os.O_RDWR)": "openat: a file without a name",
    "os.memfd_create('name')": "memfd_create: bytes that cannot be seen",
    "mmap.mmap(file, 4096)[:128] = data": "mmap: bytes that cannot be seen",
    "os.sendfile(file, os.open(sys.executable, os.O_RDONLY), 0, 64)": "sendfile: bytes that cannot be seen",
    "os.write(pipe[1], data); os.splice(pipe[0], file, 64)": "splice: bytes that cannot be seen",
    "os.copy_file_range(file, file, 64, 0, 128)": "copy_file_range: bytes that cannot be seen",
}
BEGINNING = """
import mmap, os, sys
data = sys.argv[1].encode() * 4
file = os.open('file', os.O_RDWR | os.O_CREAT, 0o600)
os.truncate(file, 4096)
pipe = os.pipe()
"""


@pytest.mark.parametrize(("way", "to_be_found"), WAYS.items())
def test_the_watch_knows_every_way_to_write(tmp_path: Path, way: str, to_be_found: str) -> None:
    canary = writes.a_canary()
    command = [*writes.watch(tmp_path / "trace"), sys.executable, "-c", BEGINNING + way, canary]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)  # whose end is the trace's end
    (found,) = writes.findings(strace.read(tmp_path / "trace"), [canary])
    assert found.startswith(to_be_found), found
