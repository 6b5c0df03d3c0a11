"""The floor: the same bytes hashed and sealed in one process, without a server. `seal_file` is all of it."""

import json
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from bench.failure import Failed
from bench.peers.base import Peer
from bench.places import ROOT
from bench.sources import Source


@dataclass(frozen=True, slots=True)
class Sealed:
    """What one pass took: on the clock, and of the processor (user and system)."""

    seconds: float
    cpu_seconds: float


def seal(source: Source, folder: Path) -> Sealed:
    """Seal a file in a process of its own, and remove what it wrote."""
    target = folder / "sealed"
    command = [sys.executable, "-m", "bench.peers.seal_file", str(source.path), str(target)]
    told = json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout)
    target.unlink()
    if told["sha256"] != source.sha256:
        raise Failed("the seal saw other bytes than the source has")
    return Sealed(told["seconds"], told["cpu_seconds"])


PEER = Peer(
    "seal",
    "is no server: reads, hashes, seals, writes and fsyncs in one thread of one process",
    missing=lambda: None,
    version=lambda: version("portal"),
    serve=None,
)
