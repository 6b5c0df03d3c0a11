"""The commands of `docs/backup.md`, played as they stand there: a backup, its restore, a drill, a bundle."""

import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import Shell

PAGE = (Path(__file__).parents[2] / "docs/backup.md").read_text()
CONTENT = b"evidence that is worth a backup" * 40_000


def commands(title: str) -> Iterator[list[str]]:
    """The commands of the first block under a heading, without the ones that need a running portal."""
    block = PAGE.split(f"\n## {title}\n" if title else "# Backups\n")[1].split("```sh\n")[1].split("```")[0]
    for line in block.splitlines():
        words = shlex.split(line, comments=True)
        if words[:1] == ["portal"] and words[1] != "serve":
            yield words[1:]


def play(shell: Shell, title: str, here: dict[str, str]) -> int:
    played = 0
    for words in commands(title):
        ours = [here.get(word, word) for word in words]
        ran = shell(*ours)
        assert ran.code == 0, (words, ran.out, ran.err)
        played += 1
    return played


def test_the_page_is_played(portal: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    file = portal.hand_in(CONTENT)
    target = portal.folder.parent / "mnt"
    here = {"file:///mnt/backup/portal": target.as_uri(), "STORE/blobs/5c/0190…5c": str(portal.blob(file.id))}
    assert play(portal, "", here) == 4
    monkeypatch.setenv("PORTAL_BACKUP_URL", target.as_uri())
    Path("portal-keys.json").write_text("{}")
    assert portal("backup", "drill", "--report", "first.json").code == 0  # the first one makes the key that signs
    Path("portal-keys.json").write_text(portal("receipt", "keys").out)
    assert play(portal, "A drill", here) == 2
    assert play(portal, "Without a database", here) == 2
    assert Path("disk.img").read_bytes() == CONTENT
    there = portal.folder.parent / "restored"
    there.mkdir()
    shutil.copy(".env", there / ".env")
    monkeypatch.chdir(there)
    assert play(Shell(there, portal.run), "What a restore needs", here) == 2
    assert Shell(there, portal.run)("fsck", "--full", "--json").json["files"] == 1
