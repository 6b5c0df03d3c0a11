"""`portal backup drill`: a backup is restored into a temporary folder, and files are opened in what came of it.

Comes in: the target, and how many files. Leaves: a signed report, an audit row in this portal, exit code 1 for anything
that is not whole. The folder is this account's alone, has ciphertext and a database, and is removed, whatever happens.
"""

import os
import tempfile
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import UUID

from pydantic import SecretStr

from portal import config, schema, tables
from portal.bootstrap import Portal, open_portal, open_resources
from portal.cli.console import actor, portal, progress
from portal.core import clock
from portal.core.errors import PortalError
from portal.features.backups import catalogue, drilling
from portal.features.backups.catalogue import OpenBackup
from portal.features.backups.drilling import Drilled, Sample
from portal.features.backups.parts import rows
from portal.features.backups.restoring import Restoring, Schema
from portal.resources import Resources
from portal.settings import Settings


@dataclass(frozen=True, slots=True)
class DrillRequest:
    """What a drill is asked for: the backup, the newest unless given, and how many files."""

    url: str
    backup_id: UUID | None
    sample: int
    as_json: bool


async def drill(asked: DrillRequest) -> tuple[Drilled, bytes]:
    """Drill. Returns what was found, and the signed report. A drill that comes to nothing is in the audit log, too."""
    settings, variables = config.load()
    async with portal() as opened:
        try:
            with tempfile.TemporaryDirectory(prefix="portal-drill-", ignore_cleanup_errors=True) as folder:
                drilled = await _drilled(opened, _there(settings, Path(folder)), variables, asked)
        except PortalError as error:
            await drilling.put_on_record(opened.resources.database, actor(), asked.backup_id, error)
            raise
        return drilled, await drilling.report(opened.resources.database, opened.signing, actor(), drilled)


def write_report(path: Path, report: bytes) -> None:
    """Write the report to a new file. Raises OSError, also if there is one of that name."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as file:
        file.write(report + b"\n")
        file.flush()
        os.fsync(file.fileno())


def restoring(resources: Resources, only: AbstractSet[UUID] | None = None) -> Restoring:
    """The restoring into the portal of these resources."""
    engine = resources.database.engine
    migrations = Schema(
        lambda: schema.revision_of(engine), schema.newest_revision(), lambda revision: schema.upgrade(engine, revision)
    )
    return Restoring(resources.database, resources.keyring, resources.stores.first, tables.metadata, migrations, only)


def _there(settings: Settings, folder: Path) -> Settings:
    """The settings of the portal in the temporary folder: the same keys, a database and a store of its own."""
    own = {"data_dir": folder, "database_url": SecretStr(""), "blob_urls": (), "scanner_urls": ("none:",)}
    return settings.model_copy(update=own | {"log_file": None})


async def _drilled(opened: Portal, there: Settings, variables: Mapping[str, str], asked: DrillRequest) -> Drilled:
    started_at = clock.now()
    async with opened.backups.targets.readable(asked.url) as target:
        backup = await catalogue.opened(target, opened.resources.keyring, asked.backup_id)
        sample = await drilling.draw(rows(target, backup), asked.sample)
        resources = open_resources(there, variables)
        try:
            with progress("restoring", None, as_json=asked.as_json) as advance:
                into = restoring(resources, sample.chosen.keys())
                restored = await into.restore(target, backup, actor(), advance, damaged=True)
        finally:
            await resources.aclose()
    return await _opened(there, variables, asked, backup, sample, restored.rows, started_at)


async def _opened(
    there: Settings,
    variables: Mapping[str, str],
    asked: DrillRequest,
    backup: OpenBackup,
    sample: Sample,
    restored_rows: int,
    started_at: datetime,
) -> Drilled:
    """Open the files in the portal that was restored, with all its parts and checks, and compare their digests."""
    checked = []
    async with open_portal(there, variables) as restored:
        with progress("opening files", len(sample.chosen), as_json=asked.as_json, in_bytes=False) as advance:
            for file_id in sorted(sample.chosen):
                checked.append(await restored.files.maintenance.read(file_id))
                advance(1)
    return Drilled(backup, sample, restored_rows, checked, started_at)
