"""Sources of settings: the environment and one env file, `.env` or the file that `--env-file` names.

Comes in: variables of these two layers; the environment has precedence. Leaves: each variable's value with its source.
A secret can also be read from a file (`NAME_FILE`). A relative path in the env file is relative to that file's folder.
Next: `config` validates the values, `portal doctor` shows the sources, `portal init` writes keys that no source has.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dotenv import dotenv_values

from portal.core.errors import ConfigError

PREFIX = "PORTAL_"
KEY_URL_SCHEME = "env:"
DEFAULT_KEY_URL = "env:PORTAL_MASTER_KEY"
ENVIRONMENT = "the environment"
ENV_FILE_VARIABLE = "_PORTAL_ENV_FILE"  # carries --env-file to the processes that `serve` starts
_NO_SECRETS = {"PORTAL_LOG_FILE"}  # a setting of its own, in spite of the ending _FILE
_PATHS = {
    "PORTAL_DATA_DIR",
    "PORTAL_LOG_FILE",
    "PORTAL_DATABASE_CA",
    "PORTAL_RATE_LIMIT_CA",
    "PORTAL_PKCS11_MODULE",
    "PORTAL_AZURE_CA",
    "PORTAL_AZURE_TOKEN_PATH",
    "PORTAL_GCP_KMS_CA",
    "PORTAL_AWS_CA",
    "PORTAL_VAULT_CA",
    "PORTAL_VAULT_JWT_PATH",
}
RENAMED = {
    "PORTAL_HEAD_SECONDS": "PORTAL_HEADER_TIMEOUT_SECONDS",
    "PORTAL_BYTES_PER_SECOND": "PORTAL_MIN_BYTES_PER_SECOND",
    "PORTAL_ROW_BYTES": "PORTAL_INLINE_MAX_BYTES",
    "PORTAL_TRANSFERS": "PORTAL_MAX_TRANSFERS",
    "PORTAL_TRANSFERS_PER_CALLER": "PORTAL_MAX_TRANSFERS_PER_CALLER",
    "PORTAL_DB_SSL_MODE": "PORTAL_DATABASE_SSL_MODE",
}
"""Former names of settings, with their present names. A former name that is still set stops the start."""
_Layer = tuple[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Given:
    """A variable's value and its source. `hides` names another source whose different value is not used."""

    value: str = field(repr=False)
    source: str
    hides: str | None = None


def env_file() -> Path:
    """The path of the env file, which is read in addition to the environment."""
    return Path(os.environ.get(ENV_FILE_VARIABLE) or ".env")


def use_env_file(path: Path) -> None:
    """Use this env file, in this process and in those that it starts. Raises ConfigError if there is no such file."""
    if not path.is_file():
        raise ConfigError(f"--env-file: there is no file {path}")
    os.environ[ENV_FILE_VARIABLE] = str(path.absolute())


def read(environ: Mapping[str, str], dotenv: Path) -> dict[str, Given]:
    """Every variable of the portal, by name. Raises ConfigError."""
    layers: list[_Layer] = [(ENVIRONMENT, environ), (str(dotenv), _read_env_file(dotenv))]
    urls = next((layer["PORTAL_KEY_URLS"] for _, layer in layers if "PORTAL_KEY_URLS" in layer), "")
    named = key_variables(urls)
    found = {_target(name) for _, layer in layers for name in layer}
    return {name: _given(name, layers) for name in sorted(found) if name.startswith(PREFIX) or name in named}


def key_variables(key_urls: str) -> list[str]:
    """The variables that the `env:` URLs of PORTAL_KEY_URLS, or of its default, name; in the same order."""
    urls = [url.strip() for url in (key_urls or DEFAULT_KEY_URL).split(",")]
    return [url.removeprefix(KEY_URL_SCHEME) for url in urls if url.startswith(KEY_URL_SCHEME)]


def _target(name: str) -> str:
    return name if name in _NO_SECRETS else name.removesuffix("_FILE")


def _given(name: str, layers: Sequence[_Layer]) -> Given:
    """The value of the first layer that has the variable; `hides` names the next layer whose value differs."""
    told = [given for layer in layers if (given := _in_layer(name, layer)) is not None]
    first, *others = told or [Given("", ENVIRONMENT)]
    hidden = next((other.source for other in others if other.value and other.value != first.value), None)
    return Given(first.value, first.source, hidden)


def _in_layer(name: str, layer: _Layer) -> Given | None:
    where, variables = layer
    from_file = "" if name in _NO_SECRETS else f"{name}_FILE"
    value, path = variables.get(name), variables.get(from_file)
    if value and path:
        raise ConfigError(f"{name} and {from_file} are both set in {where}: keep one")
    if path:
        return Given(_read_secret(from_file, Path(path)), f"the file {path} ({from_file} in {where})")
    if value is not None and not _is_text(value):
        raise ConfigError(f"{name} in {where} is not UTF-8 text without NUL")
    return None if value is None else Given(value, where)


def _is_text(value: str) -> bool:
    """A lone surrogate or a NUL in a path or a URL would fail only when a backend uses it."""
    try:
        return b"\0" not in value.encode()
    except UnicodeEncodeError:
        return False


def _read_secret(name: str, path: Path) -> str:
    try:
        return path.read_text("utf-8").strip()
    except (OSError, ValueError) as error:  # not UTF-8, or a name that no file can have
        raise ConfigError(f"{name} names a file that cannot be read ({_why(error)}): {str(path)!r}") from None


def _read_env_file(path: Path) -> dict[str, str]:
    try:
        found = dotenv_values(path, interpolate=False) if path.is_file() else {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read ({_why(error)})") from None
    return {name: _anchored(path.parent, name, value or "") for name, value in found.items()}


def _anchored(folder: Path, name: str, value: str) -> str:
    """Resolve a relative path against the env file's folder, so that it does not depend on the working directory."""
    ours = name.startswith(PREFIX) and (name in _PATHS or name.endswith("_FILE"))
    return str(folder / value) if ours and value else value


def _why(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or type(error).__name__
