"""The big checks (`make acceptance`): 4 GiB up and down in little memory, then every way to the bytes that needs less.

PORTAL_ACCEPTANCE_BYTES changes the size. The figures are printed.
"""

import hashlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest
import tink
from tink import secret_key_access, streaming_aead

from .conftest import MakePortal, Served
from .seen import memory

SIZE = int(os.environ.get("PORTAL_ACCEPTANCE_BYTES", str(4 << 30))) + 12_345
MEMORY_ALLOWED = 64 << 20
PIECE = 1 << 20

pytestmark = pytest.mark.acceptance


def content(size: int) -> Iterator[bytes]:
    """The same bytes for the same size, no two pieces alike, nothing to keep."""
    block = hashlib.shake_256(b"portal acceptance").digest(PIECE)
    for start in range(0, size, PIECE):
        piece = start.to_bytes(8, "big") + block[8:]
        yield piece[: size - start]


def digest(chunks: Iterator[bytes]) -> tuple[str, int]:
    sha256, size = hashlib.sha256(), 0
    for chunk in chunks:
        sha256.update(chunk)
        size += len(chunk)
    return sha256.hexdigest(), size


def forget_peak(portal: Served) -> None:
    """From now on VmHWM counts anew."""
    assert portal.process is not None
    Path(f"/proc/{portal.process.pid}/clear_refs").write_text("5")


def read_pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            yield piece


def test_a_big_file_goes_in_and_out_and_needs_no_portal_to_be_read(make_portal: MakePortal, tmp_path: Path) -> None:
    portal = make_portal()
    portal.fresh = True  # its memory is measured
    portal.prepare(alice="analyst")
    portal.start()
    with portal.client("alice") as alice:
        alice.timeout = httpx.Timeout(600)
        alice.put("/upload/warm.bin", content=b"warm").raise_for_status()
        idle = memory(portal, "VmRSS")
        forget_peak(portal)
        expected = digest(content(SIZE))
        created = alice.put("/upload/big.img", content=content(SIZE), headers={"Content-Length": str(SIZE)})
        assert created.status_code == 201, created.text
        assert (created.json()["sha256"], created.json()["size"]) == expected
        with alice.stream("GET", f"/files/{created.json()['id']}/content") as download:
            assert download.status_code == 200
            assert digest(download.iter_raw()) == expected
        more = memory(portal, "VmHWM") - idle
    print(f"\n{SIZE} bytes up and down; idle {idle >> 20} MiB, at most {more / (1 << 20):.1f} MiB more")
    assert more <= MEMORY_ALLOWED
    export_opens_with_tink(portal, created.json()["id"], tmp_path / "export", expected)
    rescue_needs_no_database(portal, tmp_path, expected)


def export_opens_with_tink(portal: Served, file_id: str, folder: Path, expected: tuple[str, int]) -> None:
    portal.cli("files", "export", file_id, "--to", str(folder))
    streaming_aead.register()
    keyset = tink.json_proto_keyset_format.parse((folder / "keyset.json").read_text(), secret_key_access.TOKEN)
    primitive = keyset.primitive(streaming_aead.StreamingAead)
    with (
        (folder / "part-0.tink").open("rb") as sealed,
        primitive.new_decrypting_stream(sealed, (folder / "aad-0.bin").read_bytes()) as plain,
    ):
        assert digest(iter(lambda: plain.read(PIECE), b"")) == expected
    (folder / "part-0.tink").unlink()
    assert "file.exported" in [event["event"] for event in portal.audit()]


def rescue_needs_no_database(portal: Served, tmp_path: Path, expected: tuple[str, int]) -> None:
    with closing(sqlite3.connect(portal.folder / "var" / "portal.db")) as connection:
        (blob,) = connection.execute("SELECT id FROM blobs ORDER BY stored_length DESC LIMIT 1").fetchone()
    portal.stop()
    for database in (portal.folder / "var").glob("portal.db*"):
        database.unlink()
    found = next((portal.folder / "var" / "store").rglob(blob))
    out = tmp_path / "rescued.img"
    portal.cli("rescue", str(found), "--key-file", str(tmp_path / "export" / "key-0.hex"), "--out", str(out))
    assert digest(read_pieces(out)) == expected
