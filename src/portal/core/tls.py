"""The trust store of outgoing TLS connections: the system's certificate authorities, or only those of one PEM file.

Next: `db.engine` and `web.counters` connect with the context.
"""

import ssl
from pathlib import Path

from portal.core.errors import ConfigError


def verifying_context(setting: str, authorities: Path | None) -> ssl.SSLContext:
    """A context that verifies certificates and host names; `authorities` None means the system's trust store.

    `setting` is the name of the setting, for the error message. Raises ConfigError for a file that cannot be read.
    """
    try:
        return ssl.create_default_context(cafile=authorities)
    except OSError as error:  # SSLError is an OSError too
        why = "it holds no PEM certificate" if isinstance(error, ssl.SSLError) else error.strerror
        raise ConfigError(f"{setting}: {authorities} cannot be read ({why})") from None
