"""Rotation and rewrap while uploads and downloads run: none of them fails, and every file opens by the new master key.

Comes in: files under an old master key. Leaves: the same and more under the new one, after the old one was taken away.
"""

import hashlib
import secrets
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import httpx

from ..e2e.conftest import MakePortal, Served
from ..e2e.raw import Wire
from ..e2e.seen import eventually
from .amounts import amount
from .conftest import Figures
from .key_portals import with_first, with_master_keys
from .test_database_away import BIG, BUFFER, SlowDownload

CASES = 6
ROUNDS = 2  # of new data keys, and of a rewrap of those before
SIZE = 300_000  # in a store; a small file lies in its row
SMALL = 5_000


class HeldUpload:
    """A body of which the second half comes when `go` is set."""

    def __init__(self, go: threading.Event) -> None:
        self.begun = threading.Event()
        self.content = secrets.token_bytes(SIZE)
        self._go = go

    def __iter__(self) -> Iterator[bytes]:
        yield self.content[: SIZE // 2]
        self.begun.set()
        assert self._go.wait(300)
        yield self.content[SIZE // 2 :]


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def upload(client: httpx.Client, case: str, content: bytes | HeldUpload) -> tuple[str, str]:
    """The id of the file, and the digest of what was sent."""
    body = content if isinstance(content, bytes) else iter(content)
    answer = client.put("/upload/a.bin", params={"case_id": case}, content=body)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"], digest(content if isinstance(content, bytes) else content.content)


def work_on_keys(admin: httpx.Client) -> int:
    """New data keys for all, then everything under the newest keys. Returns how many data keys were rewrapped."""
    assert admin.post("/admin/keys/rotate", json={}).status_code == 200
    asked = admin.post("/admin/keys/rewrap", json={}).json()
    assert eventually(lambda: admin.get(f"/admin/jobs/{asked['job']['id']}").json()["status"] == "done", seconds=120), (
        admin.get(f"/admin/jobs/{asked['job']['id']}").text
    )
    return int(asked["data_keys"])


def started(make_portal: MakePortal) -> tuple[Served, list[str], dict[str, str], tuple[str, str]]:
    """A portal with a case for each scope, a file of each kind in each, and one that takes long to download; all under
    the old master key. It serves with the new one in front.
    """
    portal = with_master_keys(make_portal())
    portal.prepare(analyst="analyst", admin="admin")
    portal.start()
    with portal.client("analyst") as analyst:
        cases = [analyst.post("/cases", json={"title": "a case"}).json()["id"] for _ in range(CASES)]
        sizes = [(case, size) for case in cases for size in (SMALL, SIZE)]
        files = dict(upload(analyst, case, secrets.token_bytes(size)) for case, size in sizes)
        big = upload(analyst, cases[0], secrets.token_bytes(BIG))
    portal.stop()
    with_first(portal, "NEW_KEY", "OLD_KEY")
    portal.start()
    return portal, cases, files, big


def test_no_transfer_fails_while_keys_are_rotated_and_rewrapped(make_portal: MakePortal, figures: Figures) -> None:
    portal, cases, files, (big, big_digest) = started(make_portal)
    many, go = amount("KEY_WORK_TRANSFERS") // 2, threading.Event()
    bodies = [HeldUpload(go) for _ in range(many)]
    rewrapped = 0
    with ExitStack() as opened, ThreadPoolExecutor(many) as threads:
        opened.callback(go.set)
        analyst, admin = (opened.enter_context(portal.client(name)) for name in ("analyst", "admin"))
        uploads = [threads.submit(upload, analyst, cases[number % CASES], body) for number, body in enumerate(bodies)]
        wires = [opened.enter_context(Wire(portal.port, receive_buffer=BUFFER)) for _ in range(many)]
        downloads = [SlowDownload(wire, analyst, big) for wire in wires]
        assert all(body.begun.wait(120) for body in bodies)
        for _ in range(ROUNDS):
            rewrapped += work_on_keys(admin)
            files |= dict(upload(analyst, case, secrets.token_bytes(SMALL)) for case in cases)
        go.set()
        files |= dict(each.result() for each in uploads)
        assert {download.digest() for download in downloads} == {big_digest}
        work_on_keys(admin)
    portal.stop()
    with_first(portal, "NEW_KEY")
    portal.start()
    with portal.client("analyst") as analyst:
        found = {file: digest(analyst.get(f"/files/{file}/content").content) for file in files | {big: big_digest}}
    assert found == files | {big: big_digest}
    figures(transfers=2 * many, failed=0, rewrapped=rewrapped, files_opened=len(found), unreadable=0)
    assert rewrapped >= CASES
