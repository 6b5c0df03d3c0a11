"""Rescue: a blob, its key, and nothing else; a whole file or no file."""

import os
from pathlib import Path

import pytest

from portal.core.errors import IntegrityError
from portal.crypto.blob import BlobSealer
from portal.crypto.format import BlobContext
from portal.crypto.layout import PRODUCTION, Layout
from portal.crypto.stream import SegmentCutter
from portal.strongbox.rescue import rescue

from .sealing import LAYOUT, THREE_SEGMENTS, context, flips, recipe

KEY = bytes(range(32))
PLACE = context(part=3, generation=2)
WHOLE = recipe(THREE_SEGMENTS)
TINY = Layout(64)


def seal(plain: bytes, layout: Layout = LAYOUT, at: BlobContext = PLACE) -> bytes:
    sealer, cutter = BlobSealer(at, KEY, layout), SegmentCutter(layout)
    body = b"".join(sealer.seal(segment, last=False) for segment in cutter.feed(plain))
    return sealer.preamble + body + sealer.seal(cutter.finish(), last=True)


class Desk:
    """A blob to open and a folder for what comes of it."""

    def __init__(self, folder: Path, blob: bytes) -> None:
        self.source, self.out = folder / "blob", folder / "out"
        self.out.mkdir()
        self.source.write_bytes(blob)
        self.target = self.out / "plain"
        self.read: list[int] = []

    def rescue(self, key: bytes = KEY, layout: Layout = LAYOUT) -> int:
        return rescue(self.source, key, self.target, progress=self.read.append, layout=layout)

    def refuses(self, key: bytes = KEY, layout: Layout = LAYOUT) -> bool:
        """Whether nothing comes of it: no file, no beginning of one."""
        try:
            self.rescue(key, layout)
        except IntegrityError:
            return not list(self.out.iterdir())
        return False


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path, seal(WHOLE))


@pytest.mark.parametrize("length", [0, 1, 199, 200, 201, 440, 441, THREE_SEGMENTS])
def test_a_blob_opens_with_its_key_and_nothing_else(tmp_path: Path, length: int) -> None:
    desk = Desk(tmp_path, seal(recipe(length)))
    assert desk.rescue() == length
    assert desk.target.read_bytes() == recipe(length)
    assert [path.name for path in desk.out.iterdir()] == ["plain"]


def test_a_blob_of_production_size(tmp_path: Path) -> None:
    whole = recipe(PRODUCTION.segment + 9)
    desk = Desk(tmp_path, seal(whole, PRODUCTION))
    assert desk.rescue(layout=PRODUCTION) == len(whole)
    assert desk.target.read_bytes() == whole


def test_progress_is_told_every_ciphertext_byte_of_the_segments(desk: Desk) -> None:
    desk.rescue()
    assert desk.read == [216, 256, 23]


def test_the_plaintext_is_the_owners_alone(desk: Desk) -> None:
    desk.rescue()
    assert desk.target.stat().st_mode & 0o777 == 0o600


@pytest.fixture
def tiny(tmp_path: Path) -> Desk:
    """Three segments in 275 bytes."""
    return Desk(tmp_path, seal(recipe(8 + 48 + 3), TINY))


def test_every_flipped_bit_is_refused_and_leaves_no_file(tiny: Desk) -> None:
    for flipped in flips(tiny.source.read_bytes()):
        tiny.source.write_bytes(flipped)
        assert tiny.refuses(layout=TINY)


def test_every_truncation_is_refused_and_leaves_no_file(tiny: Desk) -> None:
    blob = tiny.source.read_bytes()
    for cut in range(len(blob)):
        tiny.source.write_bytes(blob[:cut])
        assert tiny.refuses(layout=TINY)
    tiny.source.write_bytes(blob)
    assert tiny.rescue(layout=TINY) == 59


@pytest.mark.parametrize("length", [0, 200, 440, THREE_SEGMENTS])
@pytest.mark.parametrize("extra", [b"\0", bytes(16), bytes(17), bytes(256)])
def test_trailing_bytes_are_refused(tmp_path: Path, length: int, extra: bytes) -> None:
    assert Desk(tmp_path, seal(recipe(length)) + extra).refuses()


@pytest.mark.parametrize("key", [bytes(32), KEY[::-1], KEY[:31], KEY + b"\0", b"x"])
def test_another_key_is_refused(desk: Desk, key: bytes) -> None:
    assert desk.refuses(key)


def test_another_segment_size_is_refused(desk: Desk) -> None:
    assert desk.refuses(layout=Layout(512))


def test_an_existing_target_is_left_alone(desk: Desk) -> None:
    desk.target.write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        desk.rescue()
    assert desk.target.read_bytes() == b"mine"
    assert desk.read == []


def test_a_folder_in_the_targets_place_is_left_alone(desk: Desk) -> None:
    desk.target.mkdir()
    with pytest.raises(FileExistsError):
        desk.rescue()
    assert [path.name for path in desk.out.iterdir()] == ["plain"]


def test_a_missing_source_leaves_no_file(desk: Desk) -> None:
    desk.source.unlink()
    with pytest.raises(FileNotFoundError):
        desk.rescue()
    assert not list(desk.out.iterdir())


def test_a_link_at_the_temporary_name_is_not_followed(desk: Desk, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"untouched")
    (desk.out / f".plain.{os.getpid()}.rescue").symlink_to(victim)
    with pytest.raises(FileExistsError):
        desk.rescue()
    assert victim.read_bytes() == b"untouched"
    assert not desk.target.exists()


def test_a_failure_to_keep_the_plaintext_leaves_no_file(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output"):
        desk.rescue()
    assert not list(desk.out.iterdir())


def test_the_plaintext_is_on_disk_before_it_has_its_name(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[bool, int]] = []
    monkeypatch.setattr(os, "fsync", lambda file: seen.append((desk.target.exists(), os.fstat(file).st_size)))
    desk.rescue()
    assert seen[0] == (False, THREE_SEGMENTS)


def test_a_source_that_grows_while_it_is_read_is_refused(desk: Desk) -> None:
    def grow(_: int) -> None:
        with desk.source.open("ab") as source:
            source.write(b"!")

    with pytest.raises(IntegrityError):
        rescue(desk.source, KEY, desk.target, progress=grow, layout=LAYOUT)
    assert not list(desk.out.iterdir())
