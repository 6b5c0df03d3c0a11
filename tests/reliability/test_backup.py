"""Backup and restore of many files on both databases, killed (`kill -9`) in the middle, onto another master key.

Comes in: files under an old master key. Leaves: the same files, every digest equal, in another folder under a new one.
"""

import hashlib
import os
import random
import time
from pathlib import Path

import pytest
from sqlalchemy import select

from portal import config
from portal.bootstrap import open_portal
from portal.core.principal import NOWHERE
from portal.db.statements import scanning
from portal.db.tables import table
from portal.features.files.models import FileRow

from .. import own_loop
from ..cli.conftest import Arriving, sign_up
from ..e2e.conftest import MakePortal, Served
from .amounts import amount
from .conftest import Figures
from .key_portals import ask, with_first, with_master_keys

IN_ROW = 10  # every so many files is a small one
_files = table(FileRow)
FILES = scanning(select(_files.c.id, _files.c.sha256))
LEASE_IS_OVER = "UPDATE jobs SET lease_until = started_at WHERE status = 'running'"


@pytest.fixture(params=["sqlite", "postgres"])
def portal(request: pytest.FixtureRequest, make_portal: MakePortal) -> Served:
    of_postgres = {}
    if request.param == "postgres":
        url = request.getfixturevalue("own_postgres").url
        of_postgres = {"DATABASE_URL": url, "DATABASE_SSL_MODE": "disable"}
    made = with_master_keys(make_portal(**of_postgres))
    made.environment["PORTAL_BACKUP_URL"] = (made.folder / "backup").as_uri()
    made.prepare()
    return made


def fill(portal: Served, files: int) -> dict[str, str]:
    """So many files, by id with their digests."""

    async def filled() -> dict[str, str]:
        made = {}
        async with open_portal(*config.load(portal.environment, portal.folder / ".env")) as opened:
            caller = await sign_up(opened)
            for number in range(files):
                size = 100 if number % IN_ROW == 0 else random.randrange(70_000, 300_000)  # noqa: S311  # no secret
                content = os.urandom(size)
                arriving = Arriving(content, f"{number}.bin", content_length=size)
                file = await opened.files.intake.receive(caller, arriving, NOWHERE)
                made[str(file.id)] = hashlib.sha256(content).hexdigest()
        return made

    return own_loop.run(filled())


def digests(portal: Served) -> dict[str, str]:
    """What every file has when it is read from the first byte to the last."""

    async def read() -> dict[str, str]:
        found = {}
        async with open_portal(*config.load(portal.environment, portal.folder / ".env")) as opened:
            async for one in opened.files.maintenance.fsck(full=True):
                assert one.problem is None, one
            async with opened.resources.database.read() as connection:
                for file_id, sha256 in await connection.execute(FILES):
                    found[str(file_id)] = sha256
        return found

    return own_loop.run(read())


def killed_at(portal: Served, folder: Path, blobs: int, *command: str) -> bool:
    """Run a command, and kill it when there are so many blobs in the folder. Whether it had not ended before."""
    process = portal.spawn("portal.log", "backup", *command)
    while process.poll() is None and len(list(folder.glob("blobs/*/0*"))) < blobs:
        time.sleep(0.005)
    process.kill()
    return process.wait() != 0


def moments(stored: int) -> list[int]:
    """Numbers of blobs at which a command is killed, in order."""
    return sorted(random.choices(range(stored), k=max(1, amount("BACKED_UP_FILES") // 100)))  # noqa: S311  # no secret


def run_out(portal: Served, *command: str) -> str:
    """What a command says that succeeds."""
    done = portal.cli("backup", *command, check=False)
    assert done.returncode == 0, (done.stdout, done.stderr, portal.log)
    return done.stdout


def test_every_file_comes_back_whatever_is_killed_under_another_master_key(
    portal: Served, make_portal: MakePortal, figures: Figures
) -> None:
    files = fill(portal, amount("BACKED_UP_FILES"))
    target, stored = portal.folder / "backup", len(files) - len(range(0, len(files), IN_ROW))
    deaths = sum(create_killed(portal, target, at) for at in moments(stored))
    run_out(portal, "create")
    assert '"bad": 0' in run_out(portal, "verify", "--json")
    there = with_first(elsewhere(portal, make_portal), "NEW_KEY", "OLD_KEY")
    deaths += sum(restore_killed(there, at) for at in moments(stored))
    run_out(there, "restore")
    there.cli("keys", "rewrap")
    with_first(there, "NEW_KEY")
    assert digests(there) == files
    flips = [named_when_flipped(portal, blob) for blob in random.sample(sorted(target.glob("blobs/*/*")), k=5)]
    assert all(flips)
    database = "postgresql" if "PORTAL_DATABASE_URL" in portal.environment else "sqlite"
    figures(database=database, files=len(files), kills=deaths, digests_equal=len(files), flipped_bits_named=len(flips))
    assert deaths > 0


def create_killed(portal: Served, target: Path, at: int) -> bool:
    """A backup that was killed is not listed; what is listed is whole."""
    died = killed_at(portal, target, at, "create")
    ask(portal, LEASE_IS_OVER)
    ask(portal, "DELETE FROM jobs WHERE kind = 'backup'")  # the next command begins anew, as after five deaths
    if target.exists() and '"backups": []' not in portal.cli("backup", "list", "--json").stdout:
        assert '"bad": 0' in portal.cli("backup", "verify", "--json").stdout
    return died


def restore_killed(there: Served, at: int) -> bool:
    """No portal starts on what a killed restore left."""
    died = killed_at(there, there.folder / "var" / "store", at, "restore")
    if died:
        assert there.cli("db", "check", check=False).returncode == 78
    return died


def elsewhere(portal: Served, make_portal: MakePortal) -> Served:
    """An empty portal with the same keys, on SQLite: what Postgres had comes back there, too."""
    there = make_portal()
    keys = {"OLD_KEY", "NEW_KEY", "PORTAL_SECRET_KEY", "PORTAL_MASTER_KEY", "PORTAL_BACKUP_URL"}
    there.environment |= {name: portal.environment[name] for name in keys}
    return there


def named_when_flipped(portal: Served, blob: Path) -> bool:
    """Whether a backup is refused and its part named while any one bit of it is another."""
    whole = blob.read_bytes()
    changed, at = bytearray(whole), random.randrange(len(whole) * 8)  # noqa: S311  # no secret
    changed[at // 8] ^= 1 << at % 8
    blob.write_bytes(changed)
    done = portal.cli("backup", "verify", check=False)
    blob.write_bytes(whole)
    return done.returncode != 0 and blob.name in done.stdout + done.stderr
