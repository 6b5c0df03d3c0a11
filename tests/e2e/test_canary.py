"""What must never be written down in clear, looked for in everything the portal writes while it is used and abused."""

import base64
import secrets
from pathlib import Path

import httpx
import pytest

from .conftest import PASSWORD, MakePortal, Served
from .raw import FORM, Wire, bearer, head, length, part
from .seen import a_bug, blob_file, eventually, outcomes, statuses

CANARY = secrets.token_hex(32)  # 64 characters that stand all through the files handed in
CONTENT = CANARY.encode() * 40_000
WRONG = f"wrong-{secrets.token_hex(16)}"


def spellings(key: str) -> set[bytes]:
    """A hex key as it could be written down."""
    raw = bytes.fromhex(key)
    return {key.encode(), key.upper().encode(), raw, base64.b64encode(raw), base64.urlsafe_b64encode(raw).rstrip(b"=")}


def everything_written(portal: Served) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in portal.folder.rglob("*") if path.is_file()}


def sign_in(portal: Served, **form: str) -> dict[str, str]:
    answer = httpx.post(f"{portal.url}/api/v1/auth/token", data=form, timeout=60)
    pair: dict[str, str] = answer.json()
    return pair


def use(client: httpx.Client) -> str:
    """Files in and out in every way; returns the id of one with more than two segments."""
    raw = client.put("/upload/raw.bin", content=CONTENT, params={"description": "told", "kind": "log"}).json()
    form = client.post("/files", files={"file": ("form.bin", CONTENT)}, data={"kind": "log"}).json()
    for entry in (raw, form):
        assert client.get(f"/files/{entry['id']}/content").content == CONTENT
        assert client.get(f"/files/{entry['id']}/content", headers={"Range": "bytes=100-5000"}).status_code == 206
    client.patch(f"/files/{form['id']}", json={"kind": "pcap"}, headers={"If-Match": "*"})
    client.delete(f"/files/{form['id']}", headers={"If-Match": "*"})
    return str(raw["id"])


def abuse(portal: Served, client: httpx.Client, file_id: str, tokens: list[str]) -> None:
    """What makes the portal complain: broken uploads, damage, a bug, credentials in the wrong places."""
    with Wire(portal.port) as wire:
        wire.send(head("PUT", "/api/v1/upload/left.bin", bearer(client), length(len(CONTENT) + 1)), CONTENT)
        assert eventually(lambda: statuses(portal, "left.bin") == ["pending"])
    assert eventually(lambda: statuses(portal, "left.bin") == ["failed"])
    client.post("/files", content=part("file", CONTENT[:5000], filename="cut.bin"), headers=dict([FORM.split(": ", 1)]))
    client.post("/files", content=part("unknown", CONTENT[:5000]), headers=dict([FORM.split(": ", 1)]))
    client.patch(
        f"/files/{file_id}", content=CONTENT[:5000], headers={"If-Match": "*", "Content-Type": "application/json"}
    )
    client.patch(f"/files/{file_id}", json={CANARY: CANARY}, headers={"If-Match": "*"})
    client.put("/upload/x", content=CONTENT[:100], headers={"Repr-Digest": f"sha-256=:{CANARY}:"})
    for token in tokens:
        client.get("/files", params={"cursor": token, "access_token": token})
        client.get("/users/me", headers={"Authorization": f"Bearer {token}x"})
        client.get("/users/me", headers={"Authorization": f"Basic {token}"})
        sign_in(portal, grant_type="refresh_token", refresh_token=f"{token}x")
    with a_bug(portal, file_id):
        assert client.get(f"/files/{file_id}").status_code == 500
    blob = blob_file(portal, file_id)
    blob.write_bytes(blob.read_bytes()[:-1] + b"\0")
    with pytest.raises(httpx.RemoteProtocolError):
        client.get(f"/files/{file_id}/content")
    assert eventually(lambda: "damaged" in outcomes(portal, file_id))


def test_no_secret_and_no_content_is_ever_written_down(make_portal: MakePortal) -> None:
    portal = make_portal(DEBUG="true")
    portal.prepare(analyst="analyst")
    portal.start()
    first = sign_in(portal, grant_type="password", username="analyst", password=PASSWORD)
    second = sign_in(portal, grant_type="refresh_token", refresh_token=first["refresh_token"])
    sign_in(portal, grant_type="password", username="analyst", password=WRONG)
    tokens = [pair[kind] for pair in (first, second) for kind in ("access_token", "refresh_token")]
    headers = {"Authorization": f"Bearer {second['access_token']}"}
    with httpx.Client(base_url=f"{portal.url}/api/v1", headers=headers, timeout=60) as client:
        file_id = use(client)
        abuse(portal, client, file_id, tokens)
    sign_in(portal, grant_type="refresh_token", refresh_token=first["refresh_token"])
    portal.stop()
    never = {text.encode() for text in (PASSWORD, WRONG, CANARY, *tokens)}
    never |= {token.rpartition(".")[2].encode() for token in tokens}
    for name in ("PORTAL_MASTER_KEY", "PORTAL_SECRET_KEY"):
        never |= spellings(portal.environment[name])
    written = everything_written(portal)
    assert {"portal.log", "portal.db"} <= {path.name for path in written}
    assert "request_failed" in portal.log
    found = [(path.name, secret[:12]) for path, content in written.items() for secret in never if secret in content]
    assert found == []


def test_what_is_looked_for_would_be_found(make_portal: MakePortal) -> None:
    portal = make_portal()
    (portal.folder / "var").mkdir()
    (portal.folder / "var" / "spool").write_bytes(b"before" + CONTENT[:200] + b"after")
    (content,) = everything_written(portal).values()
    assert CANARY.encode() in content
