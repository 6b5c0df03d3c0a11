"""A portal of each earlier release, on both databases: it is upgraded by one command, and everything it had opens."""

import contextlib
import hashlib
import json
import tarfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL

from portal.db.engine import make_engine, parse_url

from .. import own_loop
from ..conftest import administer
from ..e2e.conftest import MakePortal, Served, make_portal  # noqa: F401  # a fixture
from . import postgres as on_postgres
from .make_release import ACCOUNTS, content_of, make

RELEASES = sorted(Path(__file__).parent.glob("*.tar.gz"))
each_release = pytest.mark.parametrize("archive", RELEASES, ids=lambda path: path.name.removesuffix(".tar.gz"))


@dataclass
class Release:
    """A portal of an earlier release, as it lies on the disk, and what is said of it."""

    portal: Served
    told: dict[str, Any]


@pytest.fixture(params=["sqlite", "postgres"])
def release(
    request: pytest.FixtureRequest,
    archive: Path,
    make_portal: MakePortal,  # noqa: F811
    tmp_path: Path,
) -> Iterator[Release]:
    with tarfile.open(archive) as packed:
        packed.extraction_filter = getattr(tarfile, "data_filter", None)  # Python 3.11.0 to 3.11.3 have none
        packed.extractall(tmp_path / "portal-0")  # noqa: S202  # our own archive
    told = json.loads((tmp_path / "portal-0" / "release.json").read_text())
    if request.param == "sqlite":
        yield Release(make_portal(**told["settings"]), told)
        return
    server, name = request.getfixturevalue("postgres"), f"upgrade_{uuid.uuid4().hex}"
    url = server.set(database=name)
    own_loop.run(_fill(server, url, tmp_path / "portal-0" / "var" / "portal.db", told["revision"]))
    (tmp_path / "portal-0" / "var" / "portal.db").unlink()
    settings = {"DATABASE_URL": url.render_as_string(hide_password=False), "DATABASE_SSL_MODE": "disable"}
    yield Release(make_portal(**told["settings"], **settings), told)
    own_loop.run(administer(server, f'DROP DATABASE "{name}" WITH (FORCE)'))


async def _fill(server: URL, url: URL, source: Path, revision: str) -> None:
    await administer(server, f'CREATE DATABASE "{url.database}"')
    engine = make_engine(url, "disable")
    await on_postgres.copy(source, revision, engine)
    await engine.dispose()


@each_release
def test_a_portal_of_an_earlier_release_is_upgraded_and_opens_everything(release: Release) -> None:
    portal, told = release.portal, release.told
    refused = portal.cli("db", "check", check=False)
    assert refused.returncode != 0
    assert "run `portal db upgrade`" in refused.stderr
    portal.cli("db", "upgrade")
    portal.start()
    with contextlib.ExitStack() as stack:
        clients = {name: stack.enter_context(portal.client(name)) for name in ACCOUNTS}
        for file in told["files"]:
            _assert_opens(clients, file)
        _assert_new_files_come_and_go(clients["alice"], told)
    _assert_links_and_tokens_work(portal, told)
    done = portal.cli("fsck", "--full", "--json", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["files"] == len(told["files"]) + 2
    assert portal.stop() == 0
    assert '"event": "request_failed"' not in portal.log
    _assert_its_audit_log_goes_on(portal, told)


def _assert_opens(clients: dict[str, httpx.Client], file: dict[str, Any]) -> None:
    """Whole and by range, for exactly those who could read it."""
    content = content_of(file["name"], file["size"])
    assert hashlib.sha256(content).hexdigest() == file["sha256"]
    for name, client in clients.items():
        whole = client.get(f"/files/{file['id']}/content")
        if name not in file["readers"]:
            assert whole.status_code in {403, 404}, (name, file["name"])
            continue
        assert whole.content == content, (name, file["name"], whole.text[:200])
        entry = client.get(f"/files/{file['id']}").json()
        assert (entry["name"], entry["size"], entry["sha256"]) == (file["name"], file["size"], file["sha256"])
        if file["size"]:
            part = client.get(f"/files/{file['id']}/content", headers={"Range": "bytes=100-299"})
            assert (part.status_code, part.content) == (206, content[100:300])


def _assert_links_and_tokens_work(portal: Served, told: dict[str, Any]) -> None:
    by_id = {file["id"]: content_of(file["name"], file["size"]) for file in told["files"]}
    with httpx.Client(base_url=f"{portal.url}/api/v1") as client:
        link = told["download_link"]
        shared = {"Authorization": f"Bearer {_redeem(client, link['secret'])}"}
        assert client.get(f"/shared/files/{link['file_id']}/content", headers=shared).content == by_id[link["file_id"]]
        shared = {"Authorization": f"Bearer {_redeem(client, told['upload_link']['secret'])}"}
        assert client.put("/shared/upload/more.log", content=b"more", headers=shared).status_code == 201
        script = {"X-API-Token": told["api_token"]}
        for file in told["files"]:
            if "alice" in file["readers"]:
                assert client.get(f"/files/{file['id']}/content", headers=script).content == by_id[file["id"]]


def _redeem(client: httpx.Client, secret: str) -> str:
    token: str = client.post("/links/redeem", json={"secret": secret}).json()["token"]
    return token


def _assert_new_files_come_and_go(alice: httpx.Client, told: dict[str, Any]) -> None:
    content = content_of("new", 100_000)
    assert alice.get(f"/files/{told['deleted']}").status_code in {404, 410}
    new = alice.put("/upload/new.bin", content=content).json()
    assert alice.get(f"/files/{new['id']}/content").content == content
    assert alice.get(f"/cases/{told['case_id']}").status_code == 200
    gone = alice.put("/upload/gone.bin", content=content).json()
    assert alice.delete(f"/files/{gone['id']}", headers={"If-Match": "*"}).status_code == 204


def _assert_its_audit_log_goes_on(portal: Served, told: dict[str, Any]) -> None:
    kinds = [event["event"] for event in _audit(portal)]
    assert kinds[0] == "user.created"
    assert kinds.count("file.uploaded") == len(told["files"]) + 1 + 3  # one was deleted; three are new
    assert kinds.count("file.deleted") == 2


def _audit(portal: Served) -> list[dict[str, Any]]:
    url = portal.environment.get("PORTAL_DATABASE_URL") or f"sqlite:///{portal.folder}/var/portal.db"
    found: list[dict[str, Any]] = []

    async def read() -> None:
        engine = make_engine(parse_url(url), "disable")
        async with engine.read() as connection:
            rows = await connection.execute(text("SELECT body FROM audit ORDER BY seq"))
            found.extend(json.loads(body) for body in rows.scalars())
        await engine.dispose()

    own_loop.run(read())
    return found


def test_an_archive_of_this_release_can_be_made(tmp_path: Path) -> None:
    told = make(tmp_path)
    assert {file["in_store"] for file in told["files"]} == {True, False}
    assert {file["case_id"] for file in told["files"]} == {None, told["case_id"]}
    assert len(list((tmp_path / "var" / "store" / "blobs").rglob("*/*"))) == sum(
        file["in_store"] for file in told["files"]
    )
    assert sorted(path.name for path in (tmp_path / "var").glob("portal.db*")) == ["portal.db"]
