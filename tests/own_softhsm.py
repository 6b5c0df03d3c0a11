"""A SoftHSM of the tests' own: tokens in a folder, made by its program as `docs/keys.md` says.

A token can be taken away, and made to hang: SoftHSM waits for the lock of a token's files.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PIN, OFFICER_PIN = "71c4ry-pin", "officer-pin"
_FOLDERS = ("/usr/lib/softhsm", "/usr/lib64/pkcs11", "/usr/local/lib/softhsm")
_HOLD = "import fcntl, sys; file = open(sys.argv[1], 'r+'); fcntl.lockf(file, fcntl.LOCK_EX); print(); input()"


class OwnSoftHsm:
    """Tokens in `folder`, for this process and those that it starts."""

    def __init__(self, module: Path, folder: Path) -> None:
        self.module, self.folder = module, folder
        (folder / "tokens").mkdir()
        config = folder / "softhsm2.conf"
        config.write_text(f"directories.tokendir = {folder}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n")
        os.environ["SOFTHSM2_CONF"] = str(config)

    def make_token(self, label: str) -> None:
        self.run("--init-token", "--free", "--label", label, "--so-pin", OFFICER_PIN, "--pin", PIN)

    def make_key(self, token: str, label: str, key_id: str = "A1", size: int = 32) -> None:
        """A new AES key: sensitive, private, not extractable."""
        (self.folder / "key.bin").write_text(os.urandom(size // 2).hex())  # what it imports ends at the first NUL
        names = ("--label", label, "--id", key_id, "--force")
        self.run("--import", str(self.folder / "key.bin"), "--aes", "--token", token, "--pin", PIN, *names)
        (self.folder / "key.bin").unlink()

    def url(self, token: str, label: str) -> str:
        return f"pkcs11:token={token};object={label}?module-path={self.module}"

    def serial(self, token: str) -> str:
        shown = self.run("--show-slots")
        (found,) = [slot for slot in shown.split("\nSlot ")[1:] if token in slot.split("Label:")[1]]
        return found.split("Serial number:")[1].split()[0]

    @contextmanager
    def without(self, token: str) -> Iterator[None]:
        """Within the block, the token is not there."""
        folder = self._folder_of(token)
        folder.rename(self.folder / "away")
        yield
        (self.folder / "away").rename(folder)

    @contextmanager
    def hanging(self, token: str) -> Iterator[None]:
        """Within the block, a call of the token does not end."""
        lock = self._folder_of(token) / "generation"
        command = [sys.executable, "-u", "-c", _HOLD, str(lock)]
        holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert holder.stdout is not None
        holder.stdout.readline()
        yield
        holder.communicate(b"\n")

    def run(self, *arguments: str) -> str:
        program = shutil.which("softhsm2-util") or ""
        return subprocess.run([program, *arguments], check=True, capture_output=True, text=True).stdout

    def _folder_of(self, token: str) -> Path:
        """SoftHSM names a token's folder after its serial number."""
        serial = self.serial(token)
        (found,) = (path for path in (self.folder / "tokens").iterdir() if path.name.replace("-", "").endswith(serial))
        return found


def module() -> Path | None:
    """SoftHSM's module; None where it, or its program, is not installed."""
    paths = [Path(folder) / "libsofthsm2.so" for folder in _FOLDERS]
    found = next((path for path in paths if path.exists()), None)
    return found if shutil.which("softhsm2-util") else None
