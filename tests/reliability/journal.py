"""The journal of a run of kills: what its clients sent, were told and deleted, in a file that outlives the run.

Comes in: entries, each fsynced before anybody goes on. Leaves: what has to be there, and what may be; the same after a
run that was interrupted itself. Next: `kills`.
"""

import json
import os
import random
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .uploads import Upload


class Journal:
    """Safe for concurrent use. `held` and `deleting` are by file id, `in_doubt` and `broken` by seed."""

    def __init__(self, path: Path) -> None:
        self.held: dict[str, Upload] = {}  # acknowledged, and nobody asked to delete it
        self.deleting: dict[str, Upload] = {}  # a delete without an answer: it may be there
        self.in_doubt: dict[str, Upload] = {}  # sent, perhaps whole, without an answer: it may be there
        self.broken: dict[str, Upload] = {}  # some of it was never sent: it must not be there
        self.acknowledged = 0
        self.kills: list[dict[str, float]] = []
        self._lock = threading.Lock()
        self._file = path.open("ab", buffering=0)
        whole, _, torn = path.read_bytes().rpartition(b"\n")
        self._file.truncate(self._file.tell() - len(torn))
        for line in whole.splitlines():
            self._apply(**json.loads(line))

    def close(self) -> None:
        self._file.close()

    def sending(self, upload: Upload) -> None:
        """Before its first byte, the first time or again."""
        self._add("sending", upload=asdict(upload))

    def was_broken(self, upload: Upload) -> None:
        self._add("broken", seed=upload.seed)

    def was_acknowledged(self, upload: Upload, file: str) -> None:
        self._add("acknowledged", seed=upload.seed, file=file)

    def picked_to_delete(self, draws: random.Random) -> str | None:
        """A file that nobody else picked, before anybody asks for its end; None where there is none."""
        with self._lock:
            if not self.held:
                return None
            file = draws.choice(list(self.held))
            self._write("deleting", file=file)
        os.fsync(self._file.fileno())
        return file

    def was_deleted(self, file: str) -> None:
        self._add("deleted", file=file)

    def was_killed(self, **measured: float) -> None:
        """The end of a round, after everything was found as it has to be."""
        self._add("killed", measured=measured)

    def _add(self, did: str, **said: Any) -> None:
        with self._lock:
            self._write(did, **said)
        os.fsync(self._file.fileno())

    def _write(self, did: str, **said: Any) -> None:
        self._apply(did, **said)
        self._file.write(json.dumps({"did": did, **said}).encode() + b"\n")

    def _apply(self, did: str, **said: Any) -> None:
        match did:
            case "sending":
                upload = Upload(**said["upload"])
                self.broken.pop(upload.seed, None)
                self.in_doubt[upload.seed] = upload
            case "broken":
                self.broken[said["seed"]] = self.in_doubt.pop(said["seed"])
            case "acknowledged":
                self.held[said["file"]] = self.in_doubt.pop(said["seed"])
                self.acknowledged += 1
            case "deleting":
                self.deleting[said["file"]] = self.held.pop(said["file"])
            case "deleted":
                del self.deleting[said["file"]]
            case "killed":
                self.kills.append(said["measured"])
