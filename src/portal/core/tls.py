"""Whom a TLS connection of ours believes: the system's authorities, or only those of one file.

Comes in: a PEM file, and the setting that names it. Leaves: a context that verifies certificates and names. Next:
`db.engine` and `web.counters` connect with it.
"""

import ssl
from pathlib import Path

from portal.core.errors import ConfigError


def verifying_context(setting: str, authorities: Path | None) -> ssl.SSLContext:
    """Raises ConfigError where the file cannot be read."""
    try:
        return ssl.create_default_context(cafile=authorities)
    except OSError as error:  # ssl's own errors are some, too
        why = "it holds no PEM certificate" if isinstance(error, ssl.SSLError) else error.strerror
        raise ConfigError(f"{setting}: {authorities} cannot be read ({why})") from None
