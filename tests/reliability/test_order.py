"""The order of the calls that make a file durable before it is acknowledged, and gone before it is said to be.

Read from the trace of a real upload and a real delete on SQLite. `a` stands before `b` where `a` had returned before
`b` was entered: then a power cut that spares `b` spares `a`.
"""

import secrets
from contextlib import AbstractContextManager
from itertools import pairwise
from pathlib import Path

from ..e2e.conftest import MakePortal, Served
from ..e2e.seen import blob_file, rows
from . import strace
from .strace import Call

OPENED = ("openat",)
RENAMED = ("?rename", "?renameat", "renameat2")
UNLINKED = ("?unlink", "unlinkat")
SYNCED = ("fsync", "fdatasync")
WRITTEN = ("write", "writev", "pwrite64", "sendto", "sendmsg")
CALLS = (*OPENED, *RENAMED, *UNLINKED, *SYNCED, *WRITTEN)
PAGE = 1 << 13  # bytes kept of a buffer: a page of the database is half as long
LOG = "/portal.db-wal>"
KEYS = "SELECT f.status, f.record, b.wrapped_key FROM files f JOIN blobs b ON b.file_id = f.id"


def started(make_portal: MakePortal, **settings: str) -> Served:
    """A portal whose database nobody writes to but the request: a periodic job's pages would be taken for its own."""
    portal = make_portal(MAX_JOBS="0", **settings)
    portal.prepare(analyst="analyst")
    portal.start()
    return portal


def traced(portal: Served, trace: Path, inject: str | None = None) -> AbstractContextManager[None]:
    assert portal.process is not None
    return strace.traced(portal.process.pid, trace, calls=CALLS, string_bytes=PAGE, inject=inject)


def found(calls: list[Call], names: tuple[str, ...], *texts: str) -> list[Call]:
    """The calls of these names whose arguments hold all these texts, in the order in which they were entered."""
    plain = {name.removeprefix("?") for name in names}
    entered = sorted(calls, key=lambda call: call.began)
    return [call for call in entered if call.name in plain and all(text in call.arguments for text in texts)]


def only(calls: list[Call], names: tuple[str, ...], *texts: str) -> Call:
    """The one such call, which has to have succeeded."""
    those = [call for call in found(calls, names, *texts) if not call.failed]
    assert len(those) == 1, f"{len(those)} calls of {names} with {texts}"
    return those[0]


def out_of_order(*calls: Call) -> list[str]:
    """Which of these calls were entered before the one that stands before them had returned."""
    pairs = ((earlier, later) for earlier, later in pairwise(calls) if earlier.ended >= later.began)
    return [
        f"{later.name} came before the end of {earlier.name}({earlier.arguments[-200:]})" for earlier, later in pairs
    ]


def committed(calls: list[Call], text: str, until: Call) -> tuple[Call, Call]:
    """The first page with `text` in the database's log, and the sync of all that stood there before `until`."""
    pages = [page for page in found(calls, ("pwrite64",), LOG) if page.began < until.began]
    with_text = [page for page in pages if text in page.arguments]
    assert with_text, f"{text} was not written before {until.name}"
    synced = [sync for sync in found(calls, SYNCED, LOG) if sync.began > pages[-1].ended and not sync.failed]
    assert synced, f"the log was never synced after {text} was written"
    return with_text[0], synced[0]


def test_a_file_is_durable_before_it_is_acknowledged(make_portal: MakePortal, tmp_path: Path) -> None:
    portal = started(make_portal)
    with portal.client("analyst") as analyst, traced(portal, tmp_path / "trace"):
        entry = analyst.put("/upload/a.bin", content=secrets.token_bytes(2_500_000)).json()
    calls = strace.read(tmp_path / "trace")
    blob = blob_file(portal, entry["id"])
    temporary = f"/store/tmp/{blob.name}"
    opened = only(calls, OPENED, f'{temporary}"', "O_CREAT")
    synced = only(calls, SYNCED, f"{temporary}>")
    renamed = only(calls, RENAMED, f'{temporary}"', f'{blob}"')
    folder_synced = only(calls, SYNCED, f"<{blob.parent}>")
    answered = only(calls, WRITTEN, "HTTP/1.1 201")
    row, row_synced = committed(calls, blob.name, until=opened)
    settled, settled_synced = committed(calls, entry["sha256"], until=answered)
    assert out_of_order(row, row_synced, opened) == []
    for piece in found(calls, WRITTEN, f"{temporary}>"):
        assert out_of_order(opened, piece, synced) == []
    assert out_of_order(synced, renamed, folder_synced, settled, settled_synced, answered) == []
    assert "O_EXCL" in opened.arguments
    assert "O_NOFOLLOW" in opened.arguments
    assert opened.arguments.endswith(", 0600")


def test_a_small_file_is_durable_before_it_is_acknowledged(make_portal: MakePortal, tmp_path: Path) -> None:
    portal = started(make_portal)
    with portal.client("analyst") as analyst:
        analyst.put("/upload/a.bin", content=b"the first makes the data key")
        with traced(portal, tmp_path / "trace"):
            entry = analyst.put("/upload/b.bin", content=b"content").json()
    calls = strace.read(tmp_path / "trace")
    answered = only(calls, WRITTEN, "HTTP/1.1 201")
    settled, settled_synced = committed(calls, entry["sha256"], until=answered)
    on_record, _ = committed(calls, "file.uploaded", until=answered)
    assert out_of_order(settled, settled_synced, answered) == []
    assert out_of_order(on_record, settled_synced) == []
    assert found(calls, OPENED, "/store/") == []


def test_a_small_file_is_gone_before_its_delete_is_acknowledged(make_portal: MakePortal, tmp_path: Path) -> None:
    portal = started(make_portal)
    with portal.client("analyst") as analyst:
        entry = analyst.put("/upload/a.bin", content=b"content").json()
        with traced(portal, tmp_path / "trace"):
            assert analyst.delete(f"/files/{entry['id']}", headers={"If-Match": "*"}).status_code == 204
    calls = strace.read(tmp_path / "trace")
    answered = only(calls, WRITTEN, "HTTP/1.1 204")
    destroyed, destroyed_synced = committed(calls, "file.deleted", until=answered)
    assert out_of_order(destroyed, destroyed_synced, answered) == []
    assert found(calls, UNLINKED, "/store/") == []


def test_the_keys_of_a_file_are_gone_before_its_delete_is_acknowledged_and_its_bytes_wait(
    make_portal: MakePortal, tmp_path: Path
) -> None:
    portal = started(make_portal)
    with portal.client("analyst") as analyst:
        entry = analyst.put("/upload/a.bin", content=iter([b"content"])).json()
        blob = blob_file(portal, entry["id"])
        with traced(portal, tmp_path / "trace"):
            assert analyst.delete(f"/files/{entry['id']}", headers={"If-Match": "*"}).status_code == 204
    calls = strace.read(tmp_path / "trace")
    answered = only(calls, WRITTEN, "HTTP/1.1 204")
    destroyed, destroyed_synced = committed(calls, "file.deleted", until=answered)
    assert out_of_order(destroyed, destroyed_synced, answered) == []
    assert rows(portal, KEYS) == [("deleted", None, None)]
    assert found(calls, UNLINKED, "/store/") == []
    assert blob.exists()
    assert portal.cli("sweep", "--no-grace").stdout == "settled 1\n"
    assert not blob.exists()


def test_a_file_without_a_grace_is_gone_before_its_delete_is_acknowledged(
    make_portal: MakePortal, tmp_path: Path
) -> None:
    portal = started(make_portal, DELETE_GRACE_DAYS="0")
    with portal.client("analyst") as analyst:
        entry = analyst.put("/upload/a.bin", content=iter([b"content"])).json()
        blob = blob_file(portal, entry["id"])
        with traced(portal, tmp_path / "trace"):
            assert analyst.delete(f"/files/{entry['id']}", headers={"If-Match": "*"}).status_code == 204
    calls = strace.read(tmp_path / "trace")
    unlinked = only(calls, UNLINKED, f'{blob}"')
    folder_synced = only(calls, SYNCED, f"<{blob.parent}>")
    answered = only(calls, WRITTEN, "HTTP/1.1 204")
    destroyed, destroyed_synced = committed(calls, "file.deleted", until=unlinked)
    later = [page for page in found(calls, ("pwrite64",), LOG) if page.began > unlinked.began]
    assert later, "the blob's row was forgotten before the blob was removed"
    _, forgotten_synced = committed(calls, "", until=answered)
    assert out_of_order(destroyed, destroyed_synced, unlinked, folder_synced) == []
    assert out_of_order(folder_synced, later[0], forgotten_synced, answered) == []


def test_a_deleted_file_whose_bytes_cannot_be_removed_has_lost_its_keys(
    make_portal: MakePortal, tmp_path: Path
) -> None:
    """The commit that the order above speaks of is the one that destroys the keys: where every unlink fails, it did."""
    portal = started(make_portal, DELETE_GRACE_DAYS="0")
    with portal.client("analyst") as analyst:
        entry = analyst.put("/upload/a.bin", content=iter([b"content"])).json()
        with traced(portal, tmp_path / "trace", inject=f"{','.join(UNLINKED)}:error=EIO"):
            assert analyst.delete(f"/files/{entry['id']}", headers={"If-Match": "*"}).status_code == 204
    assert any(call.injected for call in strace.read(tmp_path / "trace"))
    assert blob_file(portal, entry["id"]).exists()
    assert rows(portal, KEYS) == [("deleted", None, None)]
