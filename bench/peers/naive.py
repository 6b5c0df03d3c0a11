"""The design that is written first: Flask, the whole file in memory, one AES-GCM call. `naive_app` is all of it."""

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from bench.peers.base import Peer, Server, free_port, spawned


@contextmanager
def serve(folder: Path, _: int) -> Iterator[Server]:
    port, data = free_port(), folder / "data"
    data.mkdir()
    with spawned([sys.executable, "-m", "bench.peers.naive_app", str(data), str(port)], folder, port) as pid:
        yield Server("naive", pid, port, data)


def _missing() -> str | None:
    return None if importlib.util.find_spec("flask") else "no Flask: install the development dependencies"


PEER = Peer(
    "naive",
    "holds whole files in memory, several times over, and ends every connection; does not fsync or hash, keeps no row",
    missing=_missing,
    version=lambda: f"Flask {version('flask')}",
    serve=serve,
)
