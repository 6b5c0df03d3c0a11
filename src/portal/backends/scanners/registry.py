"""The list of scanners. A new scanner is a file in this folder and a line in `SCHEMES`."""

from collections.abc import Mapping, Sequence

from portal.backends.scanners.base import Scanner
from portal.backends.scanners.memory import MemoryScanner
from portal.backends.scanners.none import NoScanner
from portal.backends.scheme import Scheme
from portal.core.errors import ConfigError


def _memory(rest: str, _variables: Mapping[str, str]) -> Scanner:
    if not rest:
        raise ConfigError("PORTAL_SCANNER_URLS: memory: wants a marker")
    return MemoryScanner(rest)


SCHEMES: dict[str, Scheme[Scanner]] = {
    "memory": Scheme(_memory),
    "none": Scheme(lambda _rest, _variables: NoScanner()),
}


def open_scanners(urls: Sequence[str], variables: Mapping[str, str]) -> tuple[Scanner, ...]:
    """One scanner per URL; of their verdicts the worst counts. Raises ConfigError."""
    if not urls:
        raise ConfigError("PORTAL_SCANNER_URLS names no scanner; write none: to say that there is none")
    return tuple(_open(url, variables) for url in urls)


def _open(url: str, variables: Mapping[str, str]) -> Scanner:
    scheme, _, rest = url.partition(":")
    if scheme not in SCHEMES:
        raise ConfigError(f"PORTAL_SCANNER_URLS: unknown scheme {scheme!r}; known: {', '.join(sorted(SCHEMES))}")
    return SCHEMES[scheme].open(rest, variables)
