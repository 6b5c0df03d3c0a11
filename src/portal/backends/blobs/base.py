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
    """The right store has no such blob, or something else (a folder, a FIFO) has its name: the file is damaged."""


class StoreAway(Unavailable):
    """The store did not answer, or answered with an error that a later try may not meet."""

    code, title = "blob_store_away", "The blob store is unavailable; try again."


@dataclass(frozen=True, slots=True)
class BlobStat:
    """The properties of a stored blob. `length` is in bytes."""

    length: int


class BlobWriter(Protocol):
    """The writer of one blob, for one task. Exactly one of `commit` and `abort` ends it."""

    async def write(self, size: int, make: FillBuffer) -> None:
        """Append `size` bytes, at most MAX_WRITE. `make` is called once, in any thread, with a buffer of `size` bytes,
        and fills it.

        Raises StorageFull, StoreAway, and the errors of `make`. After an error only `abort` may follow.
        """

    async def commit(self) -> None:
        """Make the whole blob visible and durable in one step. Raises StorageFull, StoreAway.

        If it raises or is cancelled, the blob may or may not exist: `delete` removes it in either case.
        """

    async def abort(self) -> None:
        """Discard the bytes written so far. Never raises; idempotent; does nothing once `commit` has begun."""


class BlobSource(Protocol):
    """A source from which blobs are read. Safe for concurrent use."""

    def get(
        self, key: str, spans: Sequence[ByteSpan], use: Callable[[memoryview], T], *, size: int | None = None
    ) -> AsyncGenerator[T, None]:
        """Read the spans in order, in pieces of any size; yield the result of `use` for each piece.

        A piece is never empty, and lies in one span. A span that reaches beyond the blob's end yields fewer bytes.
        `use` runs in the thread that read the piece. The piece's memory is reused after `use` returns: `bytes` as `use`
        copies it. A caller that leaves early must close the generator.
        Raises BlobMissing, or IntegrityError if the blob's length is not `size`, both before the first piece;
        StoreAway; and the errors of `use`.
        """

    async def stat(self, key: str) -> BlobStat | None:
        """The blob's properties; None if there is no such blob. Raises StoreAway."""


class BlobStore(BlobSource, Protocol):
    """Immutable blobs by key. Keys are 32 lowercase hex digits, never used twice."""

    def __str__(self) -> str:
        """The store's name for an operator, for example `file, /srv/evidence`. It holds no secret."""

    @property
    def scheme(self) -> str:
        """The scheme of the store's URL, for example `file`. Not a secret."""

    @property
    def exclusive_create(self) -> bool:
        """True if only one of several writers of a key can commit, and `create` refuses a key that is taken.

        If false, the last `commit` replaces the whole blob. The portal is safe with either: each attempt of an upload
        has a key of its own.
        """

    @property
    def reaps_unfinished(self) -> bool:
        """True if `delete` also removes the remains of a `create` whose process has ended.

        If false, the operator must set a lifecycle rule in the store that removes such unfinished parts; they are
        visible in no listing.
        """

    @property
    def id(self) -> UUID:
        """The store's id, as blob rows have it in hex. Raises RuntimeError before `identify` or `found` set it."""

    async def identify(self) -> UUID | None:
        """Read the id from the store itself; None if there is no store, or one without an id. Creates nothing.

        Raises StoreAway.
        """

    async def found(self, store_id: UUID) -> None:
        """Create a store with this id. Raises StoreAway, also if there is a store already; StorageFull."""

    async def create(self, key: str) -> BlobWriter:
        """Begin a blob. It is not visible before `commit`, nor after an abort, a cancellation or a crash.

        Raises StoreAway, also if the key is taken and the store has `exclusive_create`; StorageFull.
        """

    async def delete(self, key: str) -> None:
        """Remove the blob; if the store `reaps_unfinished`, also the remains of an unfinished `create`. Idempotent.

        Raises StoreAway.
        """

    def list(self, prefix: str = "") -> AsyncIterator[str]:
        """The keys of visible blobs that begin with `prefix`, in no order. Raises StoreAway."""

    async def check(self) -> None:
        """Raises StoreAway unless this is still the store `id`, and blobs could be written and read now.

        Creates nothing.
        """

    async def aclose(self) -> None:
        """Close connections. Idempotent."""


def copy_of(data: bytes) -> FillBuffer:
    """A `make` for `BlobWriter.write` that copies existing bytes.

    Example: `await writer.write(len(data), copy_of(data))`.
    """

    def copy(room: memoryview) -> None:
        room[:] = data

    return copy


def is_key(text: str) -> bool:
    """Whether `text` has the form of a key."""
    return _KEY.fullmatch(text) is not None


def checked(key: str) -> str:
    """Returns `key`. Raises RuntimeError for any other text: that is a bug, because keys never come from a request."""
    if not is_key(key):
        raise RuntimeError("not a blob key")
    return key
