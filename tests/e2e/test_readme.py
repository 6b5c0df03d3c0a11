"""The curl sessions of the documents, run as a new user would paste them."""

import re
import subprocess
from pathlib import Path

from .conftest import PASSWORD, MakePortal, Served

ROOT = Path(__file__).resolve().parents[2]


def test_the_curl_session_of_the_readme_works_as_written(make_portal: MakePortal, tmp_path: Path) -> None:
    portal = make_portal()
    portal.prepare(admin="admin")
    portal.start()
    done = paste("README.md", portal, tmp_path)
    assert "the same bytes\n16\n" in done
    assert portal.cli("fsck", "--full").stdout == "1 files, 5000000 bytes read, 0 problems\n"


def test_the_curl_session_about_accounts_works_as_written(make_portal: MakePortal, tmp_path: Path) -> None:
    portal = make_portal()
    portal.prepare(admin="admin")
    portal.start()
    *_, listed = paste("docs/access.md", portal, tmp_path, about="Accounts").split('{"items":')
    assert '"name":"alice","role":"auditor"' in listed


def test_the_sessions_about_access_can_be_followed_in_their_order(make_portal: MakePortal, tmp_path: Path) -> None:
    portal = make_portal()
    portal.prepare(admin="admin")
    portal.start()
    text = (ROOT / "docs/access.md").read_text()
    order = re.findall(r"^## (\w+) with curl$", text, re.MULTILINE)
    passwords = {"Accounts": PASSWORD, "Links": "glass kite over harbour"}
    assert len(order) == len(passwords)
    for about in order:
        paste("docs/access.md", portal, tmp_path, about=about, password=passwords[about])


def test_no_session_throws_the_portals_own_words_away() -> None:
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        assert "curl -f" not in page.read_text(), page.name


def test_the_curl_session_about_links_works_as_written(make_portal: MakePortal, tmp_path: Path) -> None:
    portal = make_portal()
    portal.prepare(alice="analyst")
    portal.start()
    done = paste("docs/access.md", portal, tmp_path, about="Links")
    assert '"message":"The logs, please."' in done
    assert '"name":"firewall.log","size":17' in done
    assert done.endswith("the same bytes\nlink_used_up\nnot_signed_in\n")


def paste(page: str, portal: Served, folder: Path, *, about: str = "", password: str = PASSWORD) -> str:
    """What the session of a page prints; of several, the one under "`about` with curl"."""
    text = (ROOT / page).read_text()
    text = text.split(f"\n## {about} with curl\n")[1].split("\n## ")[0] if about else text
    (session,) = re.findall(r"<!-- session: .*? -->\n```sh\n(.*?)```", text, re.DOTALL)
    script = session.replace("127.0.0.1:8000", f"127.0.0.1:{portal.port}").replace("paste it here", password)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
