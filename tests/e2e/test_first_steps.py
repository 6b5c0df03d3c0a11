"""The shortest way through on both databases: in, listed, out, whole, stopped."""

import hashlib
import secrets
import signal

import pytest
from sqlalchemy.engine import URL

from .conftest import MakePortal


@pytest.mark.parametrize("workers", [1, 2])
def test_a_file_goes_in_and_comes_out_whole(make_portal: MakePortal, database_url: URL, workers: int) -> None:
    portal = make_portal(DATABASE_URL=database_url.render_as_string(hide_password=False))
    portal.fresh = workers == 1  # of several, uvicorn starts each afresh
    portal.prepare(alice="analyst")
    portal.start("--workers", str(workers))
    content = secrets.token_bytes(3_000_000)
    with portal.client("alice") as alice:
        created = alice.post("/files", files={"file": ("evidence.bin", content)}, data={"kind": "evidence"})
        assert created.status_code == 201
        entry = created.json()
        assert entry["sha256"] == hashlib.sha256(content).hexdigest()
        assert alice.get(f"/files/{entry['id']}/content").content == content
        assert [item["id"] for item in alice.get("/files").json()["items"]] == [entry["id"]]
    assert portal.stop() in {0, -signal.SIGTERM}
    assert portal.cli("fsck", "--full").stdout == "1 files, 3000000 bytes read, 0 problems\n"
