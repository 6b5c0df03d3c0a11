"""Settings: read once at the start, and refused as a whole if any of them is wrong.

Comes in: the variables that `sources` found. Leaves: a frozen `Settings`, or a ConfigError that names all problems at
once. Next: `bootstrap` opens the backends that the URLs name.

The variables are read here and not by a settings library, because a misspelt PORTAL_ variable must stop the boot, a
list is written with commas, and every secret can come from a file (`NAME_FILE`).
"""

import difflib
import os
import re
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from portal import sources
from portal.backends import scheme
from portal.backends.blobs import registry as blob_stores
from portal.backends.keys import registry as key_providers
from portal.backends.scanners import registry as scanners
from portal.core.errors import ConfigError
from portal.core.key_files import key_file_urls, read_key_file
from portal.core.rates import parse_rates
from portal.core.secrets import Secret, parse_key
from portal.db.engine import LOCAL_HOSTS, is_local
from portal.settings import Settings, database_url_of, split_words
from portal.sources import PREFIX, Given

_KNOWN_DEFAULTS = frozenset({"changeme", "change-me", "secret", "password", "portal", "default", "example"})
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]{0,63}", re.ASCII)
_REDIS = re.compile(r"(redis|rediss|unix)://.")
_MIN_DISTINCT = 8  # a key with fewer different bytes is a pattern, not a key


def load(
    environ: Mapping[str, str] | None = None, dotenv: Path | None = None, *, keys: bool = True
) -> tuple[Settings, dict[str, str]]:
    """The settings, and the variables from which they were read (backends read their own settings from these).

    With `keys=False` the keys may be missing: a migration needs none. Raises ConfigError.
    """
    dotenv = sources.env_file() if dotenv is None else dotenv
    given = sources.read(os.environ if environ is None else environ, dotenv)
    variables = {name: found.value for name, found in given.items()}
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    problems = _unknown(given, known | set(backend_settings()))
    values = {name.removeprefix(PREFIX).lower(): text for name, text in variables.items() if name in known and text}
    if dotenv.is_file():
        values.setdefault("data_dir", str(dotenv.parent / "var"))  # the default is the portal's folder, not the shell's
    settings, refused = _validated(values)
    problems += refused + _problems(settings)
    problems += scheme.problems_of((*settings.blobs, settings.backup_url), blob_stores.SCHEMES, variables)
    problems += scheme.problems_of(settings.scanner_urls, scanners.SCHEMES, variables)
    if keys:
        problems += scheme.problems_of(settings.key_urls, key_providers.SCHEMES, variables)
        problems += _key_problems(settings, variables, dotenv)
    if settings.production:
        problems += _production_problems(settings)
    if problems:
        raise ConfigError(*problems)
    return settings, variables


def backend_settings() -> dict[str, FieldInfo]:
    """The settings of all backends beside their URLs, used or not, by the name of the variable."""
    return scheme.fields_of(blob_stores.SCHEMES, key_providers.SCHEMES, scanners.SCHEMES)


def shown_key_urls(urls: str) -> str:
    """PORTAL_KEY_URLS without the URLs that may hold a key."""
    return ",".join(map(key_providers.shown, split_words(urls)))


def _unknown(given: Mapping[str, Given], known: set[str]) -> list[str]:
    """A line for each unknown variable, with its source and the setting that may be meant."""
    key_variables = sources.key_variables(given["PORTAL_KEY_URLS"].value if "PORTAL_KEY_URLS" in given else "")
    problems = []
    for name in sorted(set(given) - known - set(key_variables)):
        if name in sources.RENAMED:
            problems.append(f"{name} is now {sources.RENAMED[name]}: rename it in {given[name].source}")
            continue
        meant = difflib.get_close_matches(name, known, n=1, cutoff=0.85)
        hint = f"did you mean {meant[0]}?" if meant else "see docs/configuration.md"
        problems.append(f"{name} is not a setting, but {given[name].source} sets it: {hint}")
    return problems


def _validated(values: dict[str, str]) -> tuple[Settings, list[str]]:
    """The settings, with the default for each refused value, so that all problems are reported at once."""
    try:
        return Settings.model_validate(values), []
    except ValidationError as error:
        refused = {str(item["loc"][0]): item["msg"] for item in error.errors()}
    rest = {name: text for name, text in values.items() if name not in refused}
    return Settings.model_validate(rest), [f"{PREFIX}{name.upper()}: {told}" for name, told in refused.items()]


def _problems(settings: Settings) -> list[str]:
    """The problems that every environment refuses."""
    problems = [
        f"PORTAL_TRUSTED_PROXIES: {text!r} is neither an address nor a network"
        for text in settings.trusted_proxies
        if not _is_network(text)
    ]
    if database_url_of(settings) is None:
        problems.append("PORTAL_DATABASE_URL must be a sqlite: or postgresql: URL")
    return problems + _rate_problems(settings)


def _key_problems(settings: Settings, variables: Mapping[str, str], dotenv: Path) -> list[str]:
    problems = []
    entries = split_words(settings.secret_key.get_secret_value())
    if not entries:
        problems.append(_missing("PORTAL_SECRET_KEY", dotenv))
    elif any(_weak(entry) for entry in entries):
        problems.append("PORTAL_SECRET_KEY must be one or more random 32-byte keys (64 hex digits or base64)")
    for name in sources.key_variables(",".join(settings.key_urls)):
        problems += _master_key_problems(name, variables.get(name, ""), settings.secret_keys, dotenv)
    for url in key_file_urls(settings.key_urls):
        problems += _key_file_problems(url, settings.secret_keys)
    return problems


def _rate_problems(settings: Settings) -> list[str]:
    url = settings.rate_limit_url.get_secret_value()
    problems = [] if not url or _REDIS.match(url) else ["PORTAL_RATE_LIMIT_URL must be a redis:, rediss: or unix: URL"]
    if "ssl_" in url.partition("?")[2]:
        problems.append("PORTAL_RATE_LIMIT_URL takes no ssl_ option: certificates are verified (PORTAL_RATE_LIMIT_CA)")
    try:
        parse_rates(settings.rate_limits)
    except ConfigError as error:
        problems += error.problems
    return problems


def _production_problems(settings: Settings) -> list[str]:
    """The problems that only production refuses."""
    url = database_url_of(settings)
    sqlite = url is not None and url.get_backend_name() == "sqlite"
    unsafe_wire = url is not None and not is_local(url) and not settings.ssl_mode.startswith("verify-")
    reachable = set(settings.allowed_hosts) - set(Settings.model_fields["allowed_hosts"].default)
    risks = {
        "PORTAL_DEBUG must be off in production": settings.debug,
        "PORTAL_ALLOWED_HOSTS must name the portal's hosts in production, and not *": (
            not reachable or "*" in settings.allowed_hosts
        ),
        "PORTAL_CORS_ORIGINS must not hold * in production": any("*" in origin for origin in settings.cors_origins),
        "PORTAL_DATABASE_URL is SQLite: set PORTAL_ALLOW_SQLITE=true to run one machine on it": (
            sqlite and not settings.allow_sqlite
        ),
        "PORTAL_DATABASE_SSL_MODE must be verify-full or verify-ca towards a database on another machine": unsafe_wire,
        "PORTAL_RATE_LIMIT_URL must be rediss: towards a Redis on another machine": _plain_redis_elsewhere(settings),
        "PORTAL_TRUSTED_PROXIES must not trust every address in production": any(
            ip_network(text).prefixlen == 0 for text in settings.trusted_proxies if _is_network(text)
        ),
        "PORTAL_BACKUP_URL must not use memory: in production": settings.backup_url.startswith("memory:"),
        "PORTAL_KEY_URLS, PORTAL_BLOB_URLS and PORTAL_SCANNER_URLS must not use memory: in production": any(
            uri.startswith("memory:") for uri in (*settings.key_urls, *settings.blobs, *settings.scanner_urls)
        ),
    }
    return [problem for problem, present in risks.items() if present]


def _plain_redis_elsewhere(settings: Settings) -> bool:
    url = settings.rate_limit_url.get_secret_value()
    host = urlsplit(url).hostname if url.startswith("redis://") else None
    return host is not None and host not in LOCAL_HOSTS


def _is_network(text: str) -> bool:
    try:
        return bool(ip_network(text))
    except ValueError:
        return False


def _master_key_problems(name: str, text: str, secret_keys: tuple[Secret, ...], dotenv: Path) -> list[str]:
    if not _VARIABLE.fullmatch(name):
        return ["PORTAL_KEY_URLS: env: wants the name of a variable"]
    return _key_text_problems(name, text, secret_keys) if text else [_missing(name, dotenv)]


def _key_file_problems(url: str, secret_keys: tuple[Secret, ...]) -> list[str]:
    try:
        return _key_text_problems(url, read_key_file(url), secret_keys)
    except ConfigError as error:
        return list(error.problems)


def _key_text_problems(source: str, text: str, secret_keys: tuple[Secret, ...]) -> list[str]:
    if _weak(text):
        return [f"{source} must be one random 32-byte key (64 hex digits or base64)"]
    return [f"{source} must not be a PORTAL_SECRET_KEY"] if parse_key(text) in secret_keys else []


def _missing(name: str, dotenv: Path) -> str:
    """The problem of a missing key. It names the folder: a command in the wrong folder is the usual reason."""
    if dotenv.is_file():
        return f"{name} is not set, neither in the environment nor in {dotenv}"
    return f"{name} is not set, and there is no {dotenv.absolute()}: run `portal init` here, or give --env-file PATH"


def _weak(text: str) -> bool:
    key = parse_key(text)
    return text.lower() in _KNOWN_DEFAULTS or key is None or len(set(key.reveal())) < _MIN_DISTINCT
