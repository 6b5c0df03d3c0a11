"""Make a fixture of this release: what a small portal of it leaves on a disk, for `test_upgrade` of later releases.

    uv run python -m tests.upgrade.make_release     (writes tests/upgrade/<version>.tar.gz)

Comes in: the code of the release, run in its checkout. Leaves: an archive of the data folder (a SQLite database, a blob
store) and of `release.json`, which has the keys and what must still be there. The keys and passwords are of this
archive alone. What has an end (links, API tokens, grants) gets one in the far future: the archive is opened years
later.
"""

import contextlib
import hashlib
import json
import random
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx

from tests.e2e.conftest import PASSWORD, Served, running

HERE = Path(__file__).parent
ACCOUNTS = {"root": "admin", "alice": "analyst", "bob": "analyst", "carol": "uploader"}
INLINE_BYTES = 1 << 16  # a body that is announced with more lies in the store
FAR = "2999-01-01 00:00:00.000000"
_ENDS = ("links", "api_tokens", "file_grants")


@dataclass(frozen=True, slots=True)
class Kept:
    """A file that every later release has to open: how many bytes, of which digest, and for which accounts."""

    id: str
    name: str
    size: int
    sha256: str
    readers: tuple[str, ...]
    case_id: str | None
    in_store: bool


def content_of(name: str, size: int) -> bytes:
    """The same bytes for the same name, in every release."""
    return random.Random(name).randbytes(size)  # noqa: S311  # no secret


def make(folder: Path) -> dict[str, Any]:
    """Run a portal in `folder`, fill it, stop it. What `release.json` says."""
    settings = {"MASTER_KEY": hashlib.sha256(b"master").hexdigest(), "SECRET_KEY": hashlib.sha256(b"sign").hexdigest()}
    with running(folder, settings, **ACCOUNTS) as portal, contextlib.ExitStack() as stack:
        clients = {name: stack.enter_context(portal.client(name)) for name in ACCOUNTS}
        told = _fill(portal, clients)
        portal.stop()
    with contextlib.closing(sqlite3.connect(folder / "var" / "portal.db")) as database:
        for table in _ENDS:
            database.execute(f"UPDATE {table} SET expires_at = ?", (FAR,))  # noqa: S608  # ours
        database.commit()
        (revision,) = database.execute("SELECT version_num FROM alembic_version").fetchone()
        database.execute("PRAGMA journal_mode=DELETE")  # one file
        database.execute("VACUUM")
    return {"version": version("portal"), "revision": revision, "password": PASSWORD, "settings": settings, **told}


def _fill(portal: Served, clients: dict[str, httpx.Client]) -> dict[str, Any]:
    alice, carol = clients["alice"], clients["carol"]
    case = _made(alice.post("/cases", json={"title": "Phishing of 21 November"}))
    for name, role in {"bob": "reader", "carol": "uploader"}.items():
        _made(alice.post(f"/cases/{case['id']}/members", json={"user_name": name, "role": role}))
    kept = [
        _upload(alice, "note.txt", 1_000, ("alice", "bob")),
        _upload(alice, "empty.bin", 0, ("alice",)),
        _upload(alice, "disk.img", INLINE_BYTES + 5_000, ("alice",)),
        _upload(alice, "streamed.bin", 3_000, ("alice",), announced=False),
        _upload(alice, "mail.eml", 2_000, ("alice", "bob"), case=case["id"]),
        _upload(alice, "capture.pcap", 4_000, ("alice", "bob"), case=case["id"], announced=False),
        _upload(carol, "report.pdf", 1_500, ("alice", "bob"), case=case["id"]),
        _upload(carol, "own.txt", 500, ("carol",)),
    ]
    note = kept[0]
    _made(alice.post(f"/files/{note.id}/grants", json={"user_name": "bob", "expires_in_hours": 24}))
    gone = _upload(alice, "gone.txt", 700, ())
    alice.delete(f"/files/{gone.id}", headers={"If-Match": "*"}).raise_for_status()
    download = _made(alice.post("/links/download", json={"file_ids": [note.id], "max_uses": 1_000}))
    upload = _made(alice.post("/links/upload", json={"max_uses": 1_000}))
    kept.append(_upload_by_link(portal, alice, upload["secret"], "from-outside.log", 900))
    permissions = ["files:read", "files:download", "files:upload"]
    token = _made(alice.post("/tokens", json={"name": "collector", "permissions": permissions}))
    return {
        "case_id": case["id"],
        "files": [asdict(file) for file in kept],
        "deleted": gone.id,
        "download_link": {"secret": download["secret"], "file_id": note.id},
        "upload_link": {"secret": upload["secret"]},
        "api_token": token["token"],
    }


def _upload(
    client: httpx.Client,
    name: str,
    size: int,
    readers: tuple[str, ...],
    *,
    case: str | None = None,
    announced: bool = True,
) -> Kept:
    content = content_of(name, size)
    params = {} if case is None else {"case_id": case}
    body: bytes | Iterator[bytes] = content if announced else iter([content])
    file = _made(client.put(f"/upload/{name}", content=body, params=params))
    return _kept(file["id"], name, content, readers, case, in_store=not announced or size > INLINE_BYTES)


def _upload_by_link(portal: Served, maker: httpx.Client, secret: str, name: str, size: int) -> Kept:
    with httpx.Client(base_url=f"{portal.url}/api/v1") as anyone:
        token = _made(anyone.post("/links/redeem", json={"secret": secret}))["token"]
        content = content_of(name, size)
        headers = {"Authorization": f"Bearer {token}"}
        _made(anyone.put(f"/shared/upload/{name}", content=content, headers=headers))
    (file,) = _made(maker.get("/files", params={"name": name}))["items"]
    return _kept(file["id"], name, content, ("alice",), None, in_store=False)


def _kept(
    file_id: str, name: str, content: bytes, readers: tuple[str, ...], case: str | None, *, in_store: bool
) -> Kept:
    return Kept(file_id, name, len(content), hashlib.sha256(content).hexdigest(), readers, case, in_store)


def _made(answer: httpx.Response) -> dict[str, Any]:
    assert answer.is_success, answer.text
    body: dict[str, Any] = answer.json()
    return body


def main() -> None:
    """Write the archive of this release."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        told = make(folder)
        (folder / "release.json").write_text(json.dumps(told, indent=1) + "\n")
        path = HERE / f"{told['version']}.tar.gz"
        with tarfile.open(path, "w:gz") as archive:
            for part in ("release.json", "var"):
                archive.add(folder / part, part, filter=_plain)
    print(f"{path.name}: {path.stat().st_size} bytes")


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Nothing of the machine that it was made on."""
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    return member


if __name__ == "__main__":
    main()
