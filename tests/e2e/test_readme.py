"""The README's curl session, run as a new user would paste it."""

import re
import subprocess
from pathlib import Path

from .conftest import PASSWORD, MakePortal

README = (Path(__file__).resolve().parents[2] / "README.md").read_text()


def test_the_curl_session_of_the_readme_works_as_written(make_portal: MakePortal, tmp_path: Path) -> None:
    portal = make_portal()
    portal.prepare(admin="admin")
    portal.start()
    (session,) = re.findall(r"<!-- session: .*? -->\n```sh\n(.*?)```", README, re.DOTALL)
    script = session.replace("127.0.0.1:8000", f"127.0.0.1:{portal.port}").replace("paste it here", PASSWORD)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "the same bytes\n16\n" in done.stdout
    assert portal.cli("fsck", "--full").stdout == "1 files, 5000000 bytes read, 0 problems\n"
