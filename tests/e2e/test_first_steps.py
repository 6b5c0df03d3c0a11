"""The shortest way through: in, listed, out."""

import hashlib
import secrets

import httpx


def test_a_file_goes_in_and_comes_out_whole(analyst: httpx.Client) -> None:
    content = secrets.token_bytes(3_000_000)
    created = analyst.post("/files", files={"file": ("evidence.bin", content)}, data={"kind": "evidence"})
    assert created.status_code == 201
    entry = created.json()
    assert entry["sha256"] == hashlib.sha256(content).hexdigest()
    assert entry["size"] == len(content)
    download = analyst.get(f"/files/{entry['id']}/content")
    assert download.content == content
    assert entry["id"] in [item["id"] for item in analyst.get("/files").json()["items"]]
