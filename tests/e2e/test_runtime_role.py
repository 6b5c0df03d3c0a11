"""A portal whose database role can neither change tables nor edit the audit record: everything works with it."""

import secrets
import uuid
from collections.abc import Iterator

import httpx
import pytest
from sqlalchemy.engine import URL

from .. import own_loop
from ..conftest import administer
from .conftest import MakePortal, Served


@pytest.fixture
def owned(postgres: URL) -> Iterator[tuple[URL, str]]:
    """An empty database, and a role that may sign in."""
    name = f"e2e_{uuid.uuid4().hex}"
    _run(postgres, f'CREATE DATABASE "{name}"', f'CREATE ROLE "{name}" LOGIN')
    yield postgres.set(database=name), name
    _run(postgres, f'DROP DATABASE "{name}" WITH (FORCE)', f'DROP ROLE "{name}"')


@pytest.fixture
def portal(owned: tuple[URL, str], make_portal: MakePortal) -> Served:
    """Made by the owner without a key, then `init` and `serve` as the role."""
    url, role = owned
    made = make_portal(
        DATABASE_URL=url.set(username=role).render_as_string(hide_password=False), DATABASE_SSL_MODE="disable"
    )
    owner = {"PORTAL_DATABASE_URL": url.render_as_string(hide_password=False)}
    keyless = {name: value for name, value in made.environment.items() if not name.endswith("_KEY")}
    served = Served(made.folder, {**keyless, **owner})
    for _ in range(2):
        served.cli("db", "upgrade", "--runtime-role", role)
    return made


def test_everything_works_as_a_role_that_cannot_edit_the_record(portal: Served) -> None:
    made = portal.cli("init", "--json").stdout
    assert '"administrator": "admin"' in made
    portal.prepare(lead="analyst", admin2="admin")
    portal.start()
    with portal.client("lead") as lead, portal.client("admin2") as admin:
        work(lead, admin)
    assert portal.stop() == 0
    for command in (("sweep", "--older-than", "0s"), ("fsck", "--full"), ("keys", "rewrap"), ("users", "list")):
        portal.cli(*command)
    assert '"event": "request_failed"' not in portal.log


def work(lead: httpx.Client, admin: httpx.Client) -> None:
    large, small = secrets.token_bytes(3 << 20), b"a small file"
    ids = [lead.put(f"/upload/{n}.bin", content=content).json()["id"] for n, content in enumerate((large, small))]
    assert [lead.get(f"/files/{file_id}/content").content for file_id in ids] == [large, small]
    case = lead.post("/cases", json={"title": "a case"}).json()["id"]
    moved = lead.post(f"/files/{ids[0]}/move", json={"case_id": case}, headers={"If-Match": "*"})
    assert moved.status_code == 200, moved.text
    statuses = [
        lead.post("/links/upload", json={"case_id": case}).status_code,
        lead.post("/tokens", json={"name": "a script", "permissions": ["files:read"]}).status_code,
        lead.delete(f"/files/{ids[1]}", headers={"If-Match": "*"}).status_code,
        admin.post("/users", json={"name": "another", "role": "uploader"}).status_code,
        lead.post("/auth/logout").status_code,
    ]
    assert all(status in {200, 201, 204} for status in statuses), statuses


def _run(server: URL, *statements: str) -> None:
    async def all_of_them() -> None:
        for statement in statements:
            await administer(server, statement)

    own_loop.run(all_of_them())
