"""The list of scanners: a new one is a file beside this and a line here."""

from collections.abc import Callable, Sequence

from portal.backends.scanners.base import Scanner
from portal.backends.scanners.memory import MemoryScanner
from portal.backends.scanners.none import NoScanner
from portal.core.errors import ConfigError


def _memory(rest: str) -> Scanner:
    if not rest:
        raise ConfigError("PORTAL_SCANNER_URLS: memory: wants a marker")
    return MemoryScanner(rest)


_SCHEMES: dict[str, Callable[[str], Scanner]] = {
    "memory": _memory,
    "none": lambda _rest: NoScanner(),
}


def open_scanners(urls: Sequence[str]) -> tuple[Scanner, ...]:
    """One scanner per URL; the worst verdict stands. Raises ConfigError."""
    if not urls:
        raise ConfigError("PORTAL_SCANNER_URLS names no scanner; write none: to say that there is none")
    return tuple(_open(url) for url in urls)


def _open(url: str) -> Scanner:
    scheme, _, rest = url.partition(":")
    if scheme not in _SCHEMES:
        raise ConfigError(f"PORTAL_SCANNER_URLS: unknown scheme {scheme!r}; known: {', '.join(sorted(_SCHEMES))}")
    return _SCHEMES[scheme](rest)
