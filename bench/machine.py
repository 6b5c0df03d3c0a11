"""What the figures were made on, and with what.

Comes in: the folder that was measured. Leaves: words for the results. It names no host and no path.
"""

import os
import platform
import re
from importlib.metadata import version
from pathlib import Path

from bench.peers import PEERS


def described(folder: Path) -> dict[str, str]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cores": str(os.cpu_count()),
        "cpu": _model(),
        "memory": f"{memory / (1 << 30):.0f} GiB",
        "kernel": f"{platform.system()} {platform.release().partition('-')[0]}",
        "file system": _file_system(folder),
    }


def versions() -> dict[str, str]:
    """Of everything that takes part and is there."""
    found = {"Python": platform.python_version(), "cryptography": version("cryptography")}
    return found | {name: peer.version() for name, peer in PEERS.items() if peer.missing() is None}


def _model() -> str:
    match = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return match[1] if match else platform.machine()


def _file_system(folder: Path) -> str:
    """The kind of the innermost mount that the folder is in."""
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    around = {Path(point): kind for point, kind in mounts if folder.resolve().is_relative_to(point)}
    return around[max(around, key=lambda point: len(point.parts))]
