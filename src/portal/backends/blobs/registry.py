"""The list of blob stores: a new one is a file beside this and a line here."""

from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from portal.backends.blobs.base import BlobStore
from portal.backends.blobs.local import LocalStore
from portal.backends.blobs.memory import MemoryStore
from portal.core.errors import ConfigError


def _local(url: str) -> BlobStore:
    parts = urlsplit(url)
    if parts.netloc or not parts.path.startswith("/") or parts.query or parts.fragment:
        raise ConfigError("PORTAL_BLOB_URLS: a local store is written file:///absolute/path")
    return LocalStore(Path(unquote(parts.path)))


_SCHEMES: dict[str, Callable[[str], BlobStore]] = {
    "file": _local,
    "memory": lambda _url: MemoryStore(),
}


def open_blob_stores(urls: Sequence[str]) -> tuple[BlobStore, ...]:
    """One store per URL, in order: the first writes, each is read. Raises ConfigError."""
    return tuple(_open(url) for url in urls)


def _open(url: str) -> BlobStore:
    """Raises ConfigError for a scheme that is not known."""
    scheme = url.partition(":")[0]
    if scheme not in _SCHEMES:
        raise ConfigError(f"PORTAL_BLOB_URLS: unknown scheme {scheme!r}; known: {', '.join(sorted(_SCHEMES))}")
    return _SCHEMES[scheme](url)
