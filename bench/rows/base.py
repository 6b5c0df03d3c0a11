"""What a job is, and what it is given.

Comes in: a `Setting`. Leaves: an operation for each variant; each time it is called it measures once and cleans up.
Next: `runner` calls them, in turn.
"""

import mmap
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from bench import client
from bench.peers import PEERS
from bench.peers.base import Server
from bench.plan import Sizes
from bench.servers import Servers
from bench.sources import Source, Sources

Operation = Callable[[], tuple[float, ...]]  # a value for each row of the job


@dataclass(frozen=True, slots=True)
class Setting:
    """Where a job works, with what, and for whom. `stack` ends what it starts."""

    folder: Path
    sizes: Sizes
    sources: Sources
    variants: tuple[str, ...]
    stack: ExitStack
    running: Servers

    def source(self, which: str) -> Source:
        """The source of a size that `Sizes` names."""
        return self.sources.of(getattr(self.sizes, which))

    def room(self, size: int) -> mmap.mmap:
        """A buffer for answers."""
        return self.stack.enter_context(closing(client.buffer(size)))

    def serve(self, name: str, workers: int = 1) -> Server:
        """A peer, warm."""
        return self.running.get(name, workers)

    def servers(self) -> list[Server]:
        """All that take part and are servers, each with one worker."""
        return [self.serve(name) for name in self.variants if PEERS[name].serve is not None]


@dataclass(frozen=True, slots=True)
class Job:
    """Rows whose values come from the same operations."""

    rows: tuple[str, ...]
    prepare: Callable[[Setting], dict[str, Operation]]
