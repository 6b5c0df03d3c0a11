"""The id of a local store, in a file of its own: by it a portal knows that the right volume is mounted.

Comes in: the store's folder. Leaves: an id, or None for a folder that is no store. Next: `local`.
"""

import json
import os
from pathlib import Path
from uuid import UUID

from portal.core.atomic_rename import rename_new
from portal.core.ids import new_id

_FILE = "store.json"
_FORMAT = 1
_MOST_BYTES = 4096  # it has some eighty


def read(root: Path) -> UUID | None:
    """None where there is no such folder or file. Raises OSError, also for a file that says something else."""
    try:
        # Whatever it is by now: who asks must not wait for a FIFO, nor read what has no end.
        with os.fdopen(os.open(root / _FILE, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            said = json.loads(file.read(_MOST_BYTES))
        if said["format"] != _FORMAT:
            raise OSError("a store of another format")
        return UUID(said["id"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise OSError("no store's id") from error


def write(root: Path, store_id: UUID) -> None:
    """It appears whole and durable once the caller synced the folder. Raises OSError, FileExistsError for a second."""
    partial = root / f".{_FILE}.{new_id().hex}"  # a name that no other has: two may be at it
    content = json.dumps({"format": _FORMAT, "id": str(store_id)}).encode() + b"\n"
    try:
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        rename_new(partial, root / _FILE)
    finally:
        partial.unlink(missing_ok=True)
