"""Looking after jobs: administrators may, each change is on record, and the right is judged where it takes effect."""

import json
from dataclasses import replace

import pytest
from sqlalchemy import select

from portal.core.errors import Forbidden, NotSignedIn
from portal.core.ids import new_id
from portal.core.principal import CredentialKind, Origin, Principal, Role
from portal.db.connection import Connection
from portal.db.unit_of_work import Database
from portal.features.admin.jobs import JobControl
from portal.features.audit.models import AuditRow
from portal.features.identity.authenticators import Authenticators
from portal.features.jobs import queue
from portal.features.jobs.service import Jobs, JobStateRefused
from portal.features.jobs.views import Job, JobFilters, JobStatus

ADMIN = Principal("user:admin", Role.ADMIN, new_id(), new_id())
ORIGIN = Origin("request", "192.0.2.1")


class Session:
    """A session that may have ended, or whose account is of another role by now."""

    def __init__(self) -> None:
        self.role: Role | None = Role.ADMIN

    def claims(self, _: str) -> bool:
        return True

    async def resolve(self, *_: object) -> Principal:
        raise NotSignedIn

    async def reauthenticate(self, _: Connection, principal: Principal) -> Principal:
        if self.role is None:
            raise NotSignedIn
        return replace(principal, role=self.role)


@pytest.fixture
def session() -> Session:
    return Session()


@pytest.fixture
def control(database: Database, session: Session) -> JobControl:
    authenticators = Authenticators()
    authenticators.add(CredentialKind.SESSION, session)
    return JobControl(database, Jobs(database, ()), authenticators)


@pytest.fixture
async def job(database: Database, control: JobControl) -> Job:
    async with database.write() as connection:
        job_id = await queue.enqueue(connection, "work", {})
    assert job_id is not None
    return await control.get(ADMIN, job_id)


async def events(database: Database) -> list[dict[str, object]]:
    async with database.read() as connection:
        found = await connection.execute(select(AuditRow.body))  # type: ignore[call-overload]
        return [json.loads(body) for (body,) in found]


@pytest.mark.parametrize("role", set(Role) - {Role.ADMIN})
async def test_jobs_are_for_administrators_alone(control: JobControl, job: Job, role: Role) -> None:
    other = replace(ADMIN, role=role)
    with pytest.raises(Forbidden):
        await control.page(other, JobFilters(), None, 10)
    with pytest.raises(Forbidden):
        await control.get(other, job.id)
    for change in (control.cancel, control.retry):
        with pytest.raises(Forbidden):
            await change(other, job.id, ORIGIN)
    assert await events(control.database) == []


async def test_each_change_is_on_record(control: JobControl, job: Job) -> None:
    assert (await control.cancel(ADMIN, job.id, ORIGIN)).status is JobStatus.CANCELLED
    with pytest.raises(JobStateRefused):
        await control.cancel(ADMIN, job.id, ORIGIN)
    assert (await control.retry("system:cli/ada", job.id, ORIGIN)).status is JobStatus.QUEUED
    told = [
        (event["event"], event["actor"], event["subject"], event["details"]) for event in await events(control.database)
    ]
    details = {"kind": "work"}
    assert told == [
        ("job.cancelled", "user:admin", str(job.id), details),
        ("job.retried", "system:cli/ada", str(job.id), details),
    ]
    assert [found.id for found in (await control.page(ADMIN, JobFilters(), None, 10)).items] == [job.id]


@pytest.mark.parametrize(("role", "error"), [(None, NotSignedIn), (Role.ANALYST, Forbidden)])
async def test_a_right_that_was_lost_meanwhile_changes_nothing(
    control: JobControl, job: Job, session: Session, role: Role | None, error: type[Exception]
) -> None:
    session.role = role
    with pytest.raises(error):
        await control.cancel(ADMIN, job.id, ORIGIN)
    assert (await control.get(ADMIN, job.id)).status is JobStatus.QUEUED
    assert await events(control.database) == []
