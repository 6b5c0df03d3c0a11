"""`portal jobs`: what people and scripts are told of jobs, and what they can do to them."""

from typing import Any
from uuid import UUID

import pytest

from portal.bootstrap import Portal
from portal.core import clock
from portal.core.ids import new_id
from portal.features.jobs import queue, repository

from .conftest import Shell


def add(shell: Shell, kind: str = "files.sweep", **values: Any) -> UUID:
    async def enqueue(portal: Portal) -> UUID:
        async with portal.resources.database.write() as connection:
            job_id = await queue.enqueue(connection, kind, {"file": "x"}, created_by="system:test")
            assert job_id is not None
            if values:
                await repository.change(connection, job_id, values)
        return job_id

    return shell.inside(enqueue)


def test_jobs_are_listed_newest_first(portal: Shell) -> None:
    assert portal("jobs", "list").out == "no jobs\n"
    assert portal("jobs", "list", "--json").json == []
    first = add(portal)
    second = add(portal, "of_another_release", status="failed", last_error="unavailable: no answer in time", attempts=5)
    lines = portal("jobs", "list").out.splitlines()
    assert lines[0].split() == ["id", "kind", "status", "progress", "attempts", "note"]
    assert lines[1].split(maxsplit=4) == [
        str(second),
        "of_another_release",
        "failed",
        "5",
        "unavailable: no answer in time",
    ]
    assert lines[2].split()[:3] == [str(first), "files.sweep", "queued"]
    assert [job["id"] for job in portal("jobs", "list", "--status", "failed", "--json").json] == [str(second)]
    assert [job["id"] for job in portal("jobs", "list", "--kind", "files.sweep", "--json").json] == [str(first)]
    assert [job["id"] for job in portal("jobs", "list", "--limit", "1", "--json").json] == [str(second)]


def test_one_job_is_shown_with_everything(portal: Shell) -> None:
    job_id = add(portal, progress_done=3, progress_total=10, checkpoint='{"page":3}')
    told = portal("jobs", "show", str(job_id), "--json").json
    assert (told["kind"], told["payload"], told["actor"]) == ("files.sweep", {"file": "x"}, "system:test")
    assert (told["progress_done"], told["progress_total"], told["checkpoint"]) == (3, 10, {"page": 3})
    assert "progress done" in portal("jobs", "show", str(job_id)).out
    assert "3/10" in portal("jobs", "list").out


def test_a_job_is_cancelled_and_retried_on_record(portal: Shell) -> None:
    job_id = add(portal, "of_another_release")
    assert portal("jobs", "cancel", str(job_id), "--json").json["status"] == "cancelled"
    again = portal("jobs", "cancel", str(job_id))
    assert (again.code, again.err) == (3, "portal: The job has ended already.\n")
    assert portal("jobs", "retry", str(job_id), "--json").json["status"] == "queued"
    for kind in ("job.cancelled", "job.retried"):
        (event,) = portal.record(kind)
        assert (event["subject"], event["details"]) == (str(job_id), {"kind": "of_another_release"})
        assert event["actor"].startswith("system:cli/")


def test_a_job_that_comes_again_by_itself_is_not_cancelled_while_it_waits(portal: Shell) -> None:
    ran = portal("jobs", "cancel", str(add(portal)))
    assert (ran.code, ran.out) == (3, "")
    assert "comes again by itself" in ran.err


def test_a_job_that_runs_is_asked_to_stop(portal: Shell) -> None:
    job_id = add(portal, status="running", lease_until=clock.now(), worker="host/1")
    assert portal("jobs", "cancel", str(job_id), "--json").json["cancel_requested"] is True
    assert "cancelling" in portal("jobs", "list").out
    assert portal("jobs", "retry", str(job_id)).code == 3


@pytest.mark.parametrize("command", ["show", "cancel", "retry"])
def test_a_job_that_is_not_there_is_named(portal: Shell, command: str) -> None:
    job_id = new_id()
    ran = portal("jobs", command, str(job_id))
    assert (ran.code, ran.err) == (3, f"portal: there is no job {job_id}\n")
    assert portal("jobs", command, "x").code == 2
