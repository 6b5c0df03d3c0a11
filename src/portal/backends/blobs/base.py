"""The port of blob stores. Next: `strongbox` writes and reads through it, `features/files` deletes and lists."""

import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar
from uuid import UUID

from portal.core.errors import IntegrityError, Unavailable

MAX_WRITE = 2 << 20
FillBuffer = Callable[[memoryview], object]
ByteSpan = tuple[int, int]  # (start, length), in bytes of a blob
T = TypeVar("T")

_KEY = re.compile(r"[0-9a-f]{32}")


class BlobMissing(IntegrityError):
    """This is the right store, and there is no such blob, or what lies in its place is none: damaged evidence."""


class StoreAway(Unavailable):
    """The store did not answer, or answered with an error that a later try may not meet."""

    code, title = "blob_store_away", "The blob store is away; try again."


@dataclass(frozen=True, slots=True)
class BlobStat:
    """What a store knows of a blob. `length` is in bytes."""

    length: int


class BlobWriter(Protocol):
    """One blob being written. Exactly one of `commit` and `abort` ends it."""

    async def write(self, size: int, make: FillBuffer) -> None:
        """Append `size` bytes, at most MAX_WRITE, that `make` puts into the memory it is handed, in whatever thread.

        Raises StorageFull or StoreAway, and what `make` raises; then only `abort` may follow.
        """

    async def commit(self) -> None:
        """Make the blob visible, whole and durable, in one step.

        Raises as `write` does. When it raised or was cancelled the blob may or may not be there: `delete` settles it.
        """

    async def abort(self) -> None:
        """Forget what was written. Never raises; idempotent; does nothing after `commit` began."""


class BlobSource(Protocol):
    """Where blobs are read. Safe for concurrent use."""

    def get(
        self, key: str, spans: Sequence[ByteSpan], use: Callable[[memoryview], T], *, size: int | None = None
    ) -> AsyncGenerator[T, None]:
        """What `use` makes of each span's bytes in turn, piece by piece; fewer only where the blob ends.

        No piece is empty or has bytes of two spans. `use` is called in whatever thread read the piece, whose memory is
        used again once it returned. Close the generator when leaving early. Raises BlobMissing, or IntegrityError for a
        blob of another length than `size`, both before the first piece; StoreAway; what `use` raises.
        """

    async def stat(self, key: str) -> BlobStat | None:
        """None where there is no such blob. Raises StoreAway."""


class BlobStore(BlobSource, Protocol):
    """Immutable blobs by key. Keys are 32 lowercase hex digits, never used twice."""

    @property
    def scheme(self) -> str:
        """Of its URL. Not a secret."""

    @property
    def exclusive_create(self) -> bool:
        """Of several writers of one key one gets its blob in, and a taken key is refused.

        Without it the last `commit` replaces the blob, whole. A portal is safe with either: each attempt of an upload
        has a key of its own.
        """

    @property
    def reaps_unfinished(self) -> bool:
        """`delete` removes what a `create` left that no process will end.

        Without it the operator has the store remove such parts, by a rule of its own; they are seen nowhere.
        """

    @property
    def id(self) -> UUID:
        """Kept in the row of each blob. Raises RuntimeError before `identify` or `found` said it."""

    async def identify(self) -> UUID | None:
        """The id that the store keeps itself; None where there is no store, or one without. Makes nothing.

        Raises StoreAway.
        """

    async def found(self, store_id: UUID) -> None:
        """Make a store of that id where there is none. Raises StoreAway where there is one, StorageFull, StoreAway."""

    async def create(self, key: str) -> BlobWriter:
        """Begin a blob. Nothing is visible before `commit`, or after an abort, a cancel or a crash.

        Raises StoreAway, also where the key is taken and the store has `exclusive_create`; StorageFull.
        """

    async def delete(self, key: str) -> None:
        """Remove the blob, and what an unfinished `create` left where the store `reaps_unfinished`. Idempotent.

        Raises StoreAway.
        """

    def list(self, prefix: str = "") -> AsyncIterator[str]:
        """The keys of visible blobs that begin with `prefix`, in no order. Raises StoreAway."""

    async def check(self) -> None:
        """Raises StoreAway unless this is still the store of `id` and could take and give blobs now. Makes nothing."""

    async def aclose(self) -> None:
        """Let go of connections. Idempotent."""


def copy_of(data: bytes) -> FillBuffer:
    """For `BlobWriter.write`: bytes that are there already."""

    def copy(room: memoryview) -> None:
        room[:] = data

    return copy


def is_key(text: str) -> bool:
    """Whether `text` has the form of a key."""
    return _KEY.fullmatch(text) is not None


def checked(key: str) -> str:
    """The key itself. Raises RuntimeError for anything but a key: a bug, never an input."""
    if not is_key(key):
        raise RuntimeError("not a blob key")
    return key
