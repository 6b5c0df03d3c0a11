"""The servers of a row, or of a whole quick run.

Comes in: the name of a peer. Leaves: a server that runs until the stack ends, warm. A measured row has servers of its
own, so that nothing of another row is in its figures; a quick run measures nothing and starts each once for all rows.
Next: `rows/` asks for them.
"""

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from bench import transfer
from bench.peers import PEERS
from bench.peers.base import Server
from bench.sources import Source


@dataclass(frozen=True, slots=True)
class Servers:
    """Starts each peer once for a number of workers. `warm_up` is uploaded to it a few times. `stack` ends them."""

    folder: Path
    warm_up: Source
    stack: ExitStack
    _running: dict[tuple[str, int], Server] = field(default_factory=dict)

    def get(self, name: str, workers: int) -> Server:
        if (name, workers) not in self._running:
            self._running[name, workers] = self._start(name, workers)
        return self._running[name, workers]

    def _start(self, name: str, workers: int) -> Server:
        folder = self.folder / f"{name}-{workers}"
        folder.mkdir()
        serve = PEERS[name].serve
        assert serve is not None
        server = self.stack.enter_context(serve(folder, workers))
        transfer.warm_up(server, self.warm_up)
        return server
