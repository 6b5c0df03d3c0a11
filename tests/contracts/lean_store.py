"""A store like a plain object store: the last writer of a key wins, and parts of an upload that was given up stay."""

from portal.backends.blobs.base import BlobWriter, FillBuffer, checked
from portal.backends.blobs.memory import MemoryStore


class LeanStore(MemoryStore):
    """Has none of the properties that a store may lack. `unfinished` is what a lifecycle rule would remove one day."""

    scheme = "lean"
    exclusive_create = False
    reaps_unfinished = False

    def __init__(self) -> None:
        super().__init__()
        self.unfinished: list[_LeanWriter] = []

    async def create(self, key: str) -> BlobWriter:
        writer = _LeanWriter(self, checked(key))
        self.unfinished.append(writer)
        return writer


class _LeanWriter:
    def __init__(self, store: LeanStore, key: str) -> None:
        self._store, self._key = store, key
        self._data = bytearray()

    async def write(self, size: int, make: FillBuffer) -> None:
        part = bytearray(size)
        make(memoryview(part))
        self._data += part

    async def commit(self) -> None:
        self._store.blobs[self._key] = bytes(self._data)
        self._store.unfinished.remove(self)

    async def abort(self) -> None:
        """The parts stay where they are."""
