"""A key file is its owner's alone, and each other thing at its path is refused in one line that shows no key."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from portal.core.errors import ConfigError
from portal.core.key_files import key_file_urls, read_key_file

CANARY = "c4n4ry" * 10
MOUNTED = "; a secret that is mounted is for env:NAME with NAME_FILE"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "master key"
    made.write_text(f" {CANARY}\n")
    made.chmod(0o600)
    return made


def refused(url: str) -> str:
    with pytest.raises(ConfigError, match=r"^PORTAL_KEY_URLS: ") as caught:
        read_key_file(url)
    (problem,) = caught.value.problems
    assert "\n" not in problem
    assert CANARY not in problem
    assert caught.value.__cause__ is None
    return problem


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_the_text_of_a_file_of_ones_own_is_read(path: Path, mode: int) -> None:
    path.chmod(mode)
    assert read_key_file(path.as_uri()) == read_key_file(f"file:{path}") == CANARY


@pytest.mark.parametrize("bit", [0o040, 0o020, 0o010, 0o004, 0o002, 0o001])
def test_any_right_of_others_is_refused_with_the_mode(path: Path, bit: int) -> None:
    path.chmod(0o600 | bit)
    told = refused(path.as_uri())
    assert f"has mode {0o600 | bit:04o}" in told
    assert told.endswith(MOUNTED)


def test_a_file_of_another_account_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    told = refused(path.as_uri())
    assert "belongs to another account" in told
    assert told.endswith(MOUNTED)


def link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir(0o700)


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


def large(path: Path) -> None:
    path.write_bytes(b"0" * 1025)


OTHER_THINGS: dict[str, tuple[Callable[[Path], None], str]] = {
    "nothing": (Path.unlink, "cannot be read (No such file or directory)"),
    "a link": (link, f"is a symbolic link: name the file itself{MOUNTED}"),
    "a folder": (folder, "is not a regular file"),
    "a pipe": (pipe, "is not a regular file"),
    "a large file": (large, "is too large for a key"),
}


@pytest.mark.parametrize(("change", "told"), OTHER_THINGS.values(), ids=OTHER_THINGS)
def test_another_thing_at_the_path_is_refused(path: Path, change: Callable[[Path], None], told: str) -> None:
    change(path)
    assert told in refused(path.as_uri())


@pytest.mark.parametrize("url", ["file:", "file:key", "file:./key", "file://host/key", "file:/key?x", "file:/key#x"])
def test_a_key_file_is_named_by_an_absolute_path_alone(url: str) -> None:
    assert refused(url).endswith("a key file is written file:/absolute/path")


def test_a_name_that_no_file_can_have_is_refused() -> None:
    assert "cannot be read" in refused("file:/a%00b")


def test_what_is_no_text_is_no_key(path: Path) -> None:
    path.write_bytes(bytes(range(128, 160)))
    assert read_key_file(path.as_uri()) == "\ufffd" * 32


def test_the_urls_of_files_keep_their_order() -> None:
    assert key_file_urls(["env:A", "file:/b", "memory:", "file:/a"]) == ["file:/b", "file:/a"]
