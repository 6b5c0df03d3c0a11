"""`portal files export` and `portal rescue`: the bytes without a portal, whole or not at all."""

import getpass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import tink
from tink import secret_key_access, streaming_aead

from portal.cli import files
from portal.core.ids import new_id

from .conftest import Ran, Shell

CONTENT = b"what was handed in, byte for byte" * 40
EXPORTED = ["aad-0.bin", "key-0.hex", "keyset.json", "part-0.tink"]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def export(shell: Shell, file_id: UUID, *more: str) -> Ran:
    return shell("files", "export", str(file_id), "--to", "out", *more)


def tink_opens(folder: Path) -> bytes:
    streaming_aead.register()
    keyset = tink.json_proto_keyset_format.parse((folder / "keyset.json").read_text(), secret_key_access.TOKEN)
    primitive = keyset.primitive(streaming_aead.StreamingAead)
    with (
        (folder / "part-0.tink").open("rb") as sealed,
        primitive.new_decrypting_stream(sealed, (folder / "aad-0.bin").read_bytes()) as plain,
    ):
        return bytes(plain.read())


@pytest.mark.parametrize("content", [b"", CONTENT, bytes(1_048_521)], ids=["empty", "little", "two segments"])
def test_an_export_opens_with_tink(portal: Shell, content: bytes) -> None:
    file = portal.hand_in(content)
    ran = export(portal, file.id)
    assert (ran.code, ran.out, ran.err) == (0, "exported 1 part(s) to out\n", "")
    assert names(portal.folder / "out") == EXPORTED
    assert tink_opens(portal.folder / "out") == content


@pytest.mark.parametrize("content", [b"", CONTENT], ids=["empty", "little"])
def test_an_export_of_a_file_in_its_row_has_the_blob_that_no_store_has(portal: Shell, content: bytes) -> None:
    file = portal.hand_in(content, content_length=len(content))
    told = export(portal, file.id, "--json").json
    (part,) = told["parts"]
    assert names(portal.folder / "out") == sorted([*EXPORTED, part["blob"]])
    assert tink_opens(portal.folder / "out") == content
    ran = portal("rescue", f"out/{part['blob']}", "--key-file", "out/key-0.hex", "--out", "plain")
    assert (ran.code, (portal.folder / "plain").read_bytes()) == (0, content)


def test_an_export_is_for_its_owner_alone(portal: Shell) -> None:
    export(portal, portal.hand_in(CONTENT).id)
    assert (portal.folder / "out").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (portal.folder / "out").iterdir()} == {0o600}


def test_an_export_is_on_record_with_who_asked(portal: Shell) -> None:
    file = portal.hand_in(CONTENT)
    export(portal, file.id)
    (event,) = portal.record("file.exported")
    assert (event["subject"], event["actor"]) == (str(file.id), f"system:cli/{getpass.getuser()}")


def test_an_export_is_told_in_json(portal: Shell) -> None:
    file = portal.hand_in(CONTENT)
    told = export(portal, file.id, "--json").json
    part = {"stream": "part-0.tink", "aad": "aad-0.bin", "keyset": "keyset.json", "key": "key-0.hex"}
    assert told == {"file_id": str(file.id), "parts": [{**part, "blob": portal.blob(file.id).name}]}


def test_the_target_may_be_an_empty_folder_but_not_a_full_one(portal: Shell) -> None:
    file = portal.hand_in(CONTENT)
    (portal.folder / "out").mkdir()
    assert export(portal, file.id).code == 0
    before = names(portal.folder / "out")
    again = export(portal, file.id)
    assert (again.code, again.out) == (2, "")
    assert names(portal.folder / "out") == before
    assert len(portal.record("file.exported")) == 1


def test_the_target_is_no_file(portal: Shell) -> None:
    (portal.folder / "out").write_text("mine")
    assert export(portal, portal.hand_in(CONTENT).id).code == 2
    assert (portal.folder / "out").read_text() == "mine"


def test_what_is_not_there_is_not_exported(portal: Shell) -> None:
    ran = export(portal, new_id())
    assert (ran.code, ran.out) == (3, "")
    assert ran.err.startswith("portal: ")
    assert names(portal.folder / "out") == []
    assert portal("files", "export", "no id", "--to", "out").code == 2


@pytest.mark.parametrize("place", [0, 40, 100, 130, 300, -1])
def test_a_damaged_file_gives_neither_stream_nor_key(portal: Shell, place: int) -> None:
    file = portal.hand_in(CONTENT)
    blob = portal.blob(file.id)
    damaged = bytearray(blob.read_bytes())
    damaged[place] ^= 1
    blob.write_bytes(damaged)
    ran = export(portal, file.id)
    assert (ran.code, ran.out) == (3, "")
    assert names(portal.folder / "out") == []


@pytest.mark.parametrize("written", [0, 1, 2, 3])
def test_an_export_that_breaks_off_leaves_nothing(portal: Shell, monkeypatch: pytest.MonkeyPatch, written: int) -> None:
    file, real, calls = portal.hand_in(CONTENT), files._write, []

    async def full(path: Path, *more: Any) -> None:
        await real(path, *more)
        calls.append(path)
        if len(calls) > written:
            raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(files, "_write", full)
    ran = export(portal, file.id)
    assert (ran.code, ran.out) == (3, "")
    assert "No space left on device" in ran.err
    assert names(portal.folder / "out") == []


@pytest.fixture
def exported(portal: Shell, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """A blob and its key, in a folder where there is no portal; and settings that nobody could use."""
    file = portal.hand_in(CONTENT)
    export(portal, file.id)
    blob = portal.blob(file.id)
    blob.rename(portal.folder / "blob")
    (portal.folder / ".env").unlink()
    (portal.folder / "var" / "portal.db").unlink()
    monkeypatch.setenv("PORTAL_NONSENSE", "1")
    return portal


def rescue(shell: Shell, *more: str, key_file: str = "out/key-0.hex", stdin: str = "") -> Ran:
    return shell("rescue", "blob", "--key-file", key_file, "--out", "plain", *more, stdin=stdin)


def test_a_blob_and_its_key_are_enough(exported: Shell) -> None:
    ran = rescue(exported)
    assert (ran.code, ran.out, ran.err) == (0, f"wrote {len(CONTENT)} bytes to plain\n", "")
    assert (exported.folder / "plain").read_bytes() == CONTENT
    assert (exported.folder / "plain").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("line_end", ["", "\n", "\r\n"])
def test_the_key_may_come_on_standard_input(exported: Shell, line_end: str) -> None:
    key = (exported.folder / "out" / "key-0.hex").read_text().strip()
    ran = rescue(exported, "--json", key_file="-", stdin=key + line_end)
    assert ran.json == {"out": "plain", "size": len(CONTENT)}
    assert (exported.folder / "plain").read_bytes() == CONTENT


def assert_no_output(shell: Shell, ran: Ran, code: int) -> None:
    assert (ran.code, ran.out) == (code, "")
    assert sorted(path.name for path in shell.folder.iterdir()) == ["blob", "out", "var"]


def test_a_wrong_key_gives_no_output(exported: Shell) -> None:
    ran = rescue(exported, key_file="-", stdin="00" * 32)
    assert_no_output(exported, ran, 3)
    assert ran.err.startswith("portal: The file key is not this blob's, or the blob is damaged.")


@pytest.mark.parametrize("key", ["", "00", "zz" * 32, "00" * 33, "\0"])
def test_a_key_that_is_none_is_a_wrong_argument(exported: Shell, key: str) -> None:
    assert_no_output(exported, rescue(exported, key_file="-", stdin=key), 2)


def test_a_key_file_of_raw_bytes_is_a_wrong_argument(exported: Shell) -> None:
    key = (exported.folder / "out" / "key-0.hex").read_text().strip()
    (exported.folder / "out" / "key-0.hex").write_bytes(b"\xff" + bytes.fromhex(key)[1:])
    assert_no_output(exported, rescue(exported), 2)


def test_a_key_is_never_shown(exported: Shell) -> None:
    key = (exported.folder / "out" / "key-0.hex").read_text().strip()
    for ran in (rescue(exported), rescue(exported), rescue(exported, key_file="-", stdin=key + "0")):
        assert key not in ran.out + ran.err


@pytest.mark.parametrize("place", [0, 5, 40, 60, 100, 130, 300, -1])
def test_a_flipped_bit_gives_no_output(exported: Shell, place: int) -> None:
    damaged = bytearray((exported.folder / "blob").read_bytes())
    damaged[place] ^= 1
    (exported.folder / "blob").write_bytes(damaged)
    assert_no_output(exported, rescue(exported), 3)


@pytest.mark.parametrize("length", [0, 1, 127, 128, 168, 183, 184, -1])
def test_a_cut_blob_gives_no_output(exported: Shell, length: int) -> None:
    (exported.folder / "blob").write_bytes((exported.folder / "blob").read_bytes()[:length])
    assert_no_output(exported, rescue(exported), 3)


def test_a_lengthened_blob_gives_no_output(exported: Shell) -> None:
    (exported.folder / "blob").write_bytes((exported.folder / "blob").read_bytes() + b"x")
    assert_no_output(exported, rescue(exported), 3)


def test_nothing_is_overwritten(exported: Shell) -> None:
    (exported.folder / "plain").write_text("mine")
    ran = rescue(exported)
    assert (ran.code, ran.out) == (3, "")
    assert (exported.folder / "plain").read_text() == "mine"


def test_a_blob_or_key_that_is_not_there_is_named(exported: Shell) -> None:
    missing = rescue(exported, key_file="nowhere.hex")
    assert (missing.code, missing.err) == (3, "portal: No such file or directory: nowhere.hex\n")
    (exported.folder / "blob").unlink()
    assert rescue(exported).code == 2


def test_a_folder_that_is_not_there_is_named(exported: Shell) -> None:
    ran = exported("rescue", "blob", "--key-file", "out/key-0.hex", "--out", "nowhere/plain")
    assert ran.code == 3
    assert "No such file or directory" in ran.err
