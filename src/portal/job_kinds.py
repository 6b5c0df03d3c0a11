"""The kinds of jobs: a line for each, with its handler and its limits.

Comes in: the services. Leaves: the kinds that every runner knows. A name is stored in databases, so it never changes.
"""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial

from portal.db.unit_of_work import Database
from portal.features.admin.key_jobs import RESEAL, REWRAP, VERIFY
from portal.features.admin.keys import Keys
from portal.features.admin.reencrypt_job import REENCRYPT
from portal.features.admin.reencryption import FileKeys
from portal.features.backups.jobs import BACKUP
from portal.features.backups.service import Backups
from portal.features.custody.service import Custody
from portal.features.custody.shredding import ATTEMPTS, SHRED
from portal.features.files import name_index
from portal.features.files.service import Files
from portal.features.identity.service import Identity
from portal.features.jobs.kinds import JobHandler, JobKind
from portal.features.jobs.running import RunningJob
from portal.features.jobs.service import forget_finished
from portal.features.links.service import Links
from portal.features.tokens.service import ApiTokens

_MINUTE = timedelta(minutes=1)
_DAY = timedelta(days=1)
_WEEK = timedelta(days=7)
_HOURS = timedelta(hours=6)
_MONTH = timedelta(days=30)  # of terabytes at a low rate
_NOW_AND_THEN = timedelta(minutes=10)


def job_kinds(
    database: Database,
    identity: Identity,
    tokens: ApiTokens,
    files: Files,
    links: Links,
    backups: Backups,
    keys: Keys,
    custody: Custody,
    file_keys: FileKeys,
) -> tuple[JobKind, ...]:
    """Every kind that this release knows."""
    return (
        JobKind("files.sweep", _plain(files.maintenance.sweep), every=_MINUTE, time_limit=timedelta(hours=1)),
        JobKind(
            "files.index_names", _plain(partial(name_index.bring_up_to_date, database)), every=_MINUTE, time_limit=_DAY
        ),
        JobKind("links.sweep", _plain(links.sessions.sweep), every=_MINUTE),
        JobKind("accounts.sweep", _plain(identity.accounts.sweep), every=_NOW_AND_THEN),
        JobKind("sessions.sweep", _plain(identity.sessions.sweep), every=_NOW_AND_THEN),
        JobKind("tokens.sweep", _plain(tokens.sweep), every=_NOW_AND_THEN),
        JobKind(REWRAP, keys.handlers.rewrap, time_limit=_HOURS, at_once=1),
        JobKind(RESEAL, keys.handlers.reseal, time_limit=_HOURS, at_once=1),
        JobKind(VERIFY, keys.handlers.verify, time_limit=_HOURS, at_once=1),
        JobKind(BACKUP, backups.handlers.work, time_limit=_WEEK, at_once=1),
        JobKind(SHRED, custody.shredder.run, time_limit=_DAY, max_attempts=ATTEMPTS),
        JobKind(REENCRYPT, file_keys.handle, time_limit=_MONTH, at_once=1, max_attempts=100),
        JobKind("jobs.sweep", _plain(partial(forget_finished, database)), every=_NOW_AND_THEN),
    )


def _plain(work: Callable[[], Awaitable[object]]) -> JobHandler:
    """The handler of work without payload and checkpoint: after an interruption it starts from the beginning."""

    async def handle(_: RunningJob) -> None:
        await work()

    return handle
