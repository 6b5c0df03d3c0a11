"""The list of blob stores. A new store is a file in this folder and a line in `SCHEMES`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from portal.backends.blobs.base import BlobStore
from portal.backends.blobs.local import LocalStore
from portal.backends.blobs.memory import MemoryStore
from portal.backends.scheme import Scheme
from portal.core.errors import ConfigError

_LOCAL = "a local store is written file:///absolute/path"


def _local(rest: str, _variables: Mapping[str, str]) -> BlobStore:
    parts = urlsplit(f"file:{rest}")
    if parts.netloc or not parts.path.startswith("/") or parts.query or parts.fragment:
        raise ConfigError(_LOCAL)
    return LocalStore(Path(unquote(parts.path)))


SCHEMES: dict[str, Scheme[BlobStore]] = {
    "file": Scheme(_local),
    "memory": Scheme(lambda _rest, _variables: MemoryStore()),
}


def open_blob_stores(urls: Sequence[str], variables: Mapping[str, str]) -> tuple[BlobStore, ...]:
    """One store per URL, in order: the first takes new blobs, all are read. Raises ConfigError."""
    return tuple(open_blob_store(url, variables, "PORTAL_BLOB_URLS") for url in urls)


def open_blob_store(url: str, variables: Mapping[str, str], setting: str) -> BlobStore:
    """The store of one URL. Raises ConfigError, which names the setting, also for an unknown scheme."""
    scheme, _, rest = url.partition(":")
    if url.startswith(("/", ".", "~")):
        raise ConfigError(f"{setting}: {_LOCAL}")
    if scheme not in SCHEMES:
        raise ConfigError(f"{setting}: unknown scheme {scheme!r}; known: {', '.join(sorted(SCHEMES))}")
    try:
        return SCHEMES[scheme].open(rest, variables)
    except ConfigError as error:
        raise ConfigError(*(f"{setting}: {problem}" for problem in error.problems)) from None
