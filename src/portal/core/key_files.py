"""Files with a master key: `file:/path` in PORTAL_KEY_URLS.

Comes in: the URL. Leaves: the text of the key, or a ConfigError of one line that names the file and shows nothing of
what is in it. Next: `config` judges the text, `backends.keys.local` parses it.

A key file belongs to the account that the portal runs as, and nobody else has any right on it. What is checked is the
opened file, not its name, so nobody can exchange it in between. A symbolic link is refused: it would show an operator
one path and use another. Secrets that a container's runtime or systemd mounts are often links, or root's: they are for
`env:NAME` with `NAME_FILE`, and the refusal says so.
"""

import errno
import os
import stat
from collections.abc import Sequence
from urllib.parse import unquote, urlsplit

from portal.core.errors import ConfigError

SCHEME = "file:"
_MAX_BYTES = 1024  # a key has 64 characters at most
_MOUNTED = "; a secret that is mounted is for env:NAME with NAME_FILE"
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # NONBLOCK: a pipe without a writer ends at once


def key_file_urls(urls: Sequence[str]) -> list[str]:
    """Those of the URLs that name a file, in the same order."""
    return [url for url in urls if url.startswith(SCHEME)]


def read_key_file(url: str) -> str:
    """The text of the file that a `file:` URL names, without surrounding space. Raises ConfigError."""
    path = _path(url)
    try:
        descriptor = os.open(path, _FLAGS)
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        raise ConfigError(f"PORTAL_KEY_URLS: {path!r} {_why_not(error)}") from None
    try:
        refused = _refusal(os.fstat(descriptor))
        content = b"" if refused else os.read(descriptor, _MAX_BYTES + 1)
    finally:
        os.close(descriptor)
    if refused or len(content) > _MAX_BYTES:
        raise ConfigError(f"PORTAL_KEY_URLS: {path!r} {refused or 'is too large for a key'}")
    return content.decode("ascii", "replace").strip()


def _path(url: str) -> str:
    parts = urlsplit(url)
    if parts.netloc or not parts.path.startswith("/") or parts.query or parts.fragment:
        raise ConfigError("PORTAL_KEY_URLS: a key file is written file:/absolute/path")
    return unquote(parts.path)


def _refusal(found: os.stat_result) -> str | None:
    """The reason why this is no file for a key; None if it is one."""
    if not stat.S_ISREG(found.st_mode):
        return "is not a regular file"
    if found.st_uid != os.geteuid():
        return f"belongs to another account: let the one that runs the portal own it{_MOUNTED}"
    if stat.S_IMODE(found.st_mode) & 0o077:
        return f"has mode {stat.S_IMODE(found.st_mode):04o}, which others can use: run chmod 600 on it{_MOUNTED}"
    return None


def _why_not(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno == errno.ELOOP:
        return f"is a symbolic link: name the file itself{_MOUNTED}"
    return f"cannot be read ({(isinstance(error, OSError) and error.strerror) or type(error).__name__})"
