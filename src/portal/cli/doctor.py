"""`portal doctor`: every setting in force with its source, and the state of each part.

Comes in: the environment and the env file. Leaves: settings with secrets hidden, a line for each part with the reason
if it has a problem, and the exit code of the worst. Creates nothing and changes nothing.
"""

import json
import logging
import os
import resource
import shutil
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import typer
from pydantic import SecretStr

from portal import config, roles, schema, sources
from portal.backends.scheme import is_secret
from portal.bootstrap import check_parts, has_database, open_counters, open_database, open_resources
from portal.cli.console import Json, print_result, run_async
from portal.cli.program import Exit
from portal.core import log
from portal.core.errors import ConfigError, PortalError
from portal.db.engine import parse_url
from portal.db.reasons import place, reason
from portal.resources import Resources
from portal.settings import Settings
from portal.strongbox.sniff import library

_LOW_DISK = 0.05
_FEW_DESCRIPTORS = 4096


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One part. `state` is `ok`, `warning`, `away` (a later try may help) or `refused` (an operator must repair it)."""

    name: str
    state: str
    told: str


def doctor(*, as_json: Json = False) -> None:
    """Show every setting with its source, and how each part is. Ends with 78 or 69 where one is not well."""
    log.configure(logging.CRITICAL)
    shown, parts = run_async(_examined())
    lines = [f"portal {version('portal')}", "", *(_line(setting) for setting in shown), ""]
    lines += [f"{part.state:<8} {part.name}: {part.told}" for part in parts]
    value = {"version": version("portal"), "settings": shown, "parts": [asdict(part) for part in parts]}
    print_result("\n".join(lines), value, as_json=as_json)
    states = {part.state for part in parts}
    if {"refused", "away"} & states:
        raise typer.Exit(Exit.CONFIG if "refused" in states else Exit.UNAVAILABLE)


async def _examined() -> tuple[list[dict[str, Any]], list[CheckResult]]:
    given = sources.read(os.environ, sources.env_file())
    try:
        settings, variables = config.load()
    except ConfigError as error:
        with suppress(ConfigError):
            return _settings(config.load(keys=False)[0], given), _refused(error)
        return _settings(None, given), _refused(error)
    parts = [CheckResult("settings", "ok", settings.env), await _part("database", lambda: _database(settings))]
    if has_database(settings) and parts[-1].state in {"ok", "warning"}:
        parts += await _resources(settings, variables)
    parts.append(await _part("redis", lambda: _redis(settings)))
    return _settings(settings, given), [*parts, _magic(), _disk(settings), _proxies(settings), _descriptors()]


def _settings(settings: Settings | None, given: dict[str, sources.Given]) -> list[dict[str, Any]]:
    """Each setting in force; where settings are refused, each as it was given. Of a secret: whether it is set."""
    shown = []
    for field in Settings.model_fields:
        name = f"{sources.PREFIX}{field.upper()}"
        found = given.get(name)
        is_set = found is not None and bool(found.value)
        value = _given_or_default(field, found) if settings is None else getattr(settings, field)
        if isinstance(Settings.model_fields[field].default, SecretStr):
            value = "(set)" if is_set else "(not set)"
        elif field == "key_urls":
            value = config.shown_key_urls(_plain(value))
        source = found.source if found is not None and is_set else "default"
        shown.append({"name": name, "value": _plain(value), "source": source, "hides": found.hides if found else None})
    return shown + _backend_settings(given)


def _given_or_default(field: str, found: sources.Given | None) -> Any:
    return found.value if found is not None and found.value else Settings.model_fields[field].default


def _backend_settings(given: dict[str, sources.Given]) -> list[dict[str, Any]]:
    """The settings of backends beside their URLs, if they are given."""
    fields = config.backend_settings()
    return [
        {
            "name": name,
            "value": "(set)" if is_secret(fields[name]) else found.value,
            "source": found.source,
            "hides": found.hides,
        }
        for name, found in given.items()
        if name in fields and found.value
    ]


def _plain(value: Any) -> Any:
    return ",".join(value) if isinstance(value, tuple) else str(value) if isinstance(value, Path) else value


def _line(setting: dict[str, Any]) -> str:
    value = setting["value"]
    text = value if isinstance(value, str) else "" if value is None else json.dumps(value)
    hides = f", not {setting['hides']}" if setting["hides"] else ""
    return f"{setting['name']}={text}" + ("" if setting["source"] == "default" else f"   ({setting['source']}{hides})")


def _refused(error: ConfigError) -> list[CheckResult]:
    return [CheckResult("settings", "refused", problem) for problem in error.problems]


async def _part(name: str, check: Callable[[], Awaitable[CheckResult]]) -> CheckResult:
    try:
        return await check()
    except ConfigError as error:
        return CheckResult(name, "refused", str(error))
    except PortalError as error:
        return CheckResult(name, "away", f"{error} ({reason(error)})" if error.__cause__ is None else str(error))


async def _database(settings: Settings) -> CheckResult:
    url = parse_url(settings.database)
    if not has_database(settings):
        return CheckResult("database", "refused", f"there is no database {url.database}: run `portal init`")
    async with aclosing(open_database(settings)) as database:
        found, wanted = await schema.revision_of(database.engine), schema.newest_revision()
        if found != wanted:
            return CheckResult("database", "refused", f"{place(url)}: at revision {found}, this release wants {wanted}")
        remote = "" if url.get_backend_name() == "sqlite" else f", TLS {settings.ssl_mode}"
        told = f"{place(url)}, revision {found}{remote}"
        if settings.production and remote and await roles.may_edit_audit(database.engine):
            return CheckResult("database", "warning", f"{told}; this role can edit the audit record (--runtime-role)")
        return CheckResult("database", "ok", told)


async def _resources(settings: Settings, variables: dict[str, str]) -> list[CheckResult]:
    """All of them together, as a start needs them; and each master key by itself."""
    name = "store, scanners and keys"
    try:
        resources = open_resources(settings, variables)
    except ConfigError as error:
        return [CheckResult(name, "refused", str(error))]
    async with aclosing(resources):
        together = await _part(name, lambda: _together(name, resources, settings))
        health = await resources.keyring.health()
        return [together, *(_master_key(key_id, why_away) for key_id, why_away in health.items())]


async def _together(name: str, resources: Resources, settings: Settings) -> CheckResult:
    warnings = await check_parts(resources, settings)
    ids = ", ".join(resources.keyring.provider_key_ids)
    told = f"{', '.join(settings.blobs)}; master keys {ids} (the first wraps)"
    return CheckResult(name, "warning" if warnings else "ok", "; ".join([told, *warnings]))


def _master_key(key_id: str, why_away: str | None) -> CheckResult:
    told = "its provider answers" if why_away is None else why_away
    return CheckResult(f"master key {key_id}", "ok" if why_away is None else "away", told)


async def _redis(settings: Settings) -> CheckResult:
    counters = open_counters(settings)
    if counters is None:
        return CheckResult("redis", "ok", "none: each worker counts requests for itself")
    async with aclosing(counters):
        await counters.check()
    return CheckResult("redis", "ok", "answers")


def _magic() -> CheckResult:
    found = library()
    return CheckResult("libmagic", "warning" if found is None else "ok", found or "none: every type is unknown")


def _disk(settings: Settings) -> CheckResult:
    there = next(
        path for path in (settings.data_dir.absolute(), *settings.data_dir.absolute().parents) if path.exists()
    )
    usage = shutil.disk_usage(there)
    told = f"{usage.free / 2**30:.1f} GiB of {usage.total / 2**30:.1f} GiB free at {there}"
    return CheckResult("disk", "warning" if usage.free < usage.total * _LOW_DISK else "ok", told)


def _proxies(settings: Settings) -> CheckResult:
    if settings.trusted_proxies:
        return CheckResult("proxies", "ok", f"X-Forwarded-For is believed of {', '.join(settings.trusted_proxies)}")
    told = "none is trusted: behind one, all callers share its address (PORTAL_TRUSTED_PROXIES)"
    return CheckResult("proxies", "warning" if settings.production else "ok", told)


def _descriptors() -> CheckResult:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return CheckResult(
        "descriptors", "warning" if 0 <= hard < _FEW_DESCRIPTORS else "ok", f"{hard}: a transfer takes two"
    )
