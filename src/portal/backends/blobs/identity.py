"""The id of a local store, in its own file. The portal compares it to see that the right volume is mounted.

Comes in: the store's folder. Leaves: an id, or None for a folder that is not a store. Next: `local`.
"""

import json
import os
from pathlib import Path
from uuid import UUID

from portal.core.atomic_rename import rename_new
from portal.core.ids import new_id

_FILE = "store.json"
_FORMAT = 1
_MOST_BYTES = 4096  # the file has about eighty


def read(root: Path) -> UUID | None:
    """The store's id; None if the folder or the file does not exist. Raises OSError, also for any other content."""
    try:
        # The name may be anything by now: never wait for a FIFO, and never read without a limit.
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
    """Write the id. The file appears whole; it is durable once the caller has synced the folder.

    Raises FileExistsError if there is an id already, OSError.
    """
    partial = root / f".{_FILE}.{new_id().hex}"  # a unique name: two processes may write at the same time
    content = json.dumps({"format": _FORMAT, "id": str(store_id)}).encode() + b"\n"
    try:
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        rename_new(partial, root / _FILE)
    finally:
        partial.unlink(missing_ok=True)
