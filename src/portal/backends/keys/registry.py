"""The list of key providers: a new one is a file beside this and a line here."""

import re
from collections.abc import Callable, Mapping, Sequence

from portal.backends.keys.base import KeyProvider
from portal.backends.keys.local import LocalKeyProvider
from portal.core.errors import ConfigError

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]{0,15}", re.ASCII)
_SCHEMES: dict[str, Callable[[str, Mapping[str, str]], KeyProvider]] = {
    "env": LocalKeyProvider.from_environment,
    "memory": lambda _rest, _environ: LocalKeyProvider.random(),
}


def open_key_providers(urls: Sequence[str], environ: Mapping[str, str]) -> tuple[KeyProvider, ...]:
    """One provider per URL, in order: the first wraps, all unwrap. Raises ConfigError."""
    providers = tuple(_open(url, environ) for url in urls)
    if not providers:
        raise ConfigError("PORTAL_KEY_URLS names no key provider")
    if len({provider.key_id for provider in providers}) < len(providers):
        raise ConfigError("PORTAL_KEY_URLS names the same master key twice")
    return providers


def _open(url: str, environ: Mapping[str, str]) -> KeyProvider:
    scheme, _, rest = url.partition(":")
    if scheme not in _SCHEMES:
        shown = repr(scheme) if _SCHEME.fullmatch(scheme) else "(not shown: it may be a key)"
        raise ConfigError(f"PORTAL_KEY_URLS: unknown scheme {shown}; known: {', '.join(sorted(_SCHEMES))}")
    return _SCHEMES[scheme](rest, environ)
