"""The emergency procedure of `docs/keys.md`, as it stands there, on a portal that lost its master key."""

import os
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

from .conftest import Shell

PAGE = (Path(__file__).parents[2] / "docs/keys.md").read_text()
CONTENT = b"evidence that outlives its master key" * 4000


def commands() -> Iterator[str]:
    section = PAGE.split("\n## Emergency\n")[1].split("\n## ")[0]
    for block in section.split("```sh\n")[1:]:
        yield from (line for line in block.split("```")[0].splitlines() if not line.startswith("#"))


def test_a_portal_that_lost_its_master_key_is_brought_back_as_the_page_says(portal: Shell) -> None:
    files = [portal.hand_in(CONTENT) for _ in range(3)]
    assert portal("keys", "split", "--to", "shares").code == 0
    kept = [line for line in Path(".env").read_text().splitlines() if "MASTER_KEY" not in line]
    Path(".env").write_text("\n".join(kept) + "\n")
    assert portal("fsck").code == 78
    here = {"/mnt/a": "shares", "/mnt/b": "shares", "/mnt/c": "shares", "/etc/portal": str(portal.folder)}
    here["/media/shares"] = "new-shares"
    played = 0
    for line in commands():
        for path, ours in here.items():
            line = line.replace(path, ours)  # noqa: PLW2901
        if line.startswith("portal "):
            ran = portal(*shlex.split(line)[1:])
            assert ran.code == 0, (line, ran.err)
            played += 1
        else:
            subprocess.run(["bash", "-euc", line], check=True, env=os.environ | {"LC_ALL": "C"})
    assert played == 7
    assert portal("fsck", "--full", "--json").json == {"files": 3, "bytes": len(CONTENT) * len(files), "problems": []}
    assert len(list(Path("new-shares").iterdir())) == 5
    new = [str(path) for path in sorted(Path("new-shares").iterdir())[:3]]
    assert portal("keys", "drill", *new).code == 0
    assert portal("keys", "drill", *(str(path) for path in sorted(Path("shares").iterdir()))).code == 3
