"""What somebody does who has the database's password: to the rows of data keys, to jobs, and at the worst moment.

One edited row never stops the work on the others, opens for nobody, and is named.
"""

import asyncio
import json
from typing import Any

import pytest
from sqlalchemy import text

from portal.backends.keys.base import KeyProviderError
from portal.backends.keys.local import LocalKeyProvider
from portal.core.errors import IntegrityError
from portal.core.principal import NOWHERE
from portal.db.unit_of_work import Database
from portal.features.admin.key_jobs import REWRAP
from portal.features.admin.key_views import KeysStatus
from portal.features.admin.keys import KeyNeeded, Keys
from portal.features.jobs import queue
from portal.features.jobs.kinds import JobKind
from portal.features.jobs.views import JobStatus
from portal.keyring.data_key import DataKey
from portal.keyring.keyring import Keyring

from .test_keys import BY, SCOPES, keys, record_of, rewrap, run, uses

ONE, TWO = SCOPES[1], SCOPES[2]
SWAPPED = "(SELECT o.{column} FROM data_keys o WHERE o.scope = :two)"
EDITS = {
    "no wrap": "wrapped = :empty",
    "another's wrap": f"wrapped = {SWAPPED.format(column='wrapped')}",
    "another's check": f"check_value = {SWAPPED.format(column='check_value')}",
    "another scope": "scope = 'case:0'",
    "under the new master key, it says": "provider_key_id = :new",
}
OF_SQLITE = {  # which stores any type in any column
    "a wrap of text": "wrapped = 'text'",
    "a wrap of a number": "wrapped = 7",
    "a check of text": "check_value = 'text'",
    "a time that is none": "created_at = 'never'",
    "a master key that is no text": "provider_key_id = x'00ff'",
}


async def edited(database: Database, made: DataKey, edit: str, **values: Any) -> None:
    used = {name: value for name, value in values.items() if f":{name}" in edit}
    statement = text(f"UPDATE data_keys SET {edit} WHERE scope = :scope")  # noqa: S608  # ours
    async with database.write() as connection:
        assert (await connection.execute(statement, used | {"scope": made.scope})).rowcount == 1


@pytest.mark.parametrize("edit", [*EDITS, *OF_SQLITE])
async def test_an_edited_data_key_opens_for_nobody_and_is_left_while_all_others_are_rewrapped(
    database: Database, edit: str
) -> None:
    if edit in OF_SQLITE and database.engine.dialect.name != "sqlite":
        return  # no such row can be
    old, new = LocalKeyProvider.random(), LocalKeyProvider.random()
    before = Keyring(database, [old])
    made = {scope: await before.active(scope) for scope in SCOPES[:5]}
    change = (EDITS | OF_SQLITE)[edit]
    await edited(database, made[ONE], change, empty=b"", two=TWO, new=new.key_id)
    moving = keys(database, new, old)
    with pytest.raises((IntegrityError, KeyProviderError)):
        await Keyring(database, [new, old]).get(made[ONE].id, ONE)
    for job in (await rewrap(moving), await run(moving, await moving.verify(BY, NOWHERE))):
        assert (job.status, job.checkpoint["named"]) == (JobStatus.FAILED, [str(made[ONE].id)])
    named = [event["subject"] for event in await record_of(database, "key.unopened")]
    assert named == [str(made[ONE].id)] * 2
    for scope in set(made) - {ONE}:
        assert await Keyring(database, [new]).get(made[scope].id, scope) == made[scope]


@pytest.mark.parametrize("edit", OF_SQLITE)
async def test_uploads_of_a_scope_whose_data_key_was_edited_go_on_after_a_rotation(
    database: Database, edit: str
) -> None:
    if database.engine.dialect.name != "sqlite":
        return
    of = keys(database, LocalKeyProvider.random())
    made = await of.keyring.active(ONE)
    await edited(database, made, OF_SQLITE[edit])
    again = keys(database, *of.keyring._providers.values())
    with pytest.raises(KeyProviderError):
        await again.keyring.active(ONE)
    assert await again.rotate(BY, None, NOWHERE) == 1
    assert (await keys(database, *of.keyring._providers.values()).keyring.active(ONE)).id != made.id


JOBS = {
    "a checkpoint of nothing": ("checkpoint", 7),
    "a place that is none": ("checkpoint", {"after": "x", "seen": 1, "left": 0, "named": []}),
    "a count that is none": ("checkpoint", {"after": None, "seen": "x", "left": 0, "named": []}),
    "names that are none": ("checkpoint", {"after": None, "seen": 0, "left": 0, "named": 7}),
    "no payload": ("payload", {}),
    "a payload of others": ("payload", {"key_id": 7, "data_keys": "many"}),
}


@pytest.mark.parametrize("edit", JOBS)
async def test_a_job_that_was_edited_fails_at_once_and_the_next_one_does_its_work(
    database: Database, edit: str
) -> None:
    old, new = LocalKeyProvider.random(), LocalKeyProvider.random()
    await Keyring(database, [old]).active(ONE)
    moving = keys(database, new, old)
    job = (await moving.rewrap(BY, NOWHERE)).job
    async with database.write() as connection:
        column, value = JOBS[edit]
        statement = text(f"UPDATE jobs SET {column} = :value")  # noqa: S608  # ours
        await connection.execute(statement, {"value": json.dumps(value)})
    failed = await run(moving, job)
    assert (failed.status, failed.attempts) == (JobStatus.FAILED, 1)
    assert "edited" in str(failed.last_error)
    assert (await rewrap(moving)).status is JobStatus.DONE
    assert await uses(moving) == [(new.key_id, 1), (old.key_id, 0)]


async def test_two_rewraps_at_once_under_different_first_master_keys_lose_nothing(database: Database) -> None:
    one, other = LocalKeyProvider.random(), LocalKeyProvider.random()
    before = Keyring(database, [one])
    made = [await before.active(scope) for scope in SCOPES[:20]]
    ways = keys(database, other, one), keys(database, one, other)
    claimed = []
    for of in ways:
        await of.rewrap(BY, NOWHERE)
        running = await queue.claim(database, JobKind(REWRAP, of.handlers.rewrap), "here")
        assert running is not None
        claimed.append(running)
    by_key = {of.keyring.provider_key_ids[0]: of for of in ways}
    await asyncio.gather(*(by_key[running.payload["key_id"]].handlers.rewrap(running) for running in claimed))
    after = Keyring(database, [one, other])
    assert [await after.get(key.id, key.scope) for key in made] == made
    assert sum(count for _, count in await uses(ways[0])) == len(made)


async def test_a_master_key_that_wraps_while_it_is_retired_is_not(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = LocalKeyProvider.random(), LocalKeyProvider.random()
    await Keyring(database, [old]).active(ONE)
    moving, real = keys(database, new, old), Keys.status
    await rewrap(moving)

    async def and_an_upload(of: Keys, by: Any) -> KeysStatus:
        status = await real(of, by)
        await Keyring(database, [old]).active(TWO)  # a process that was not restarted
        return status

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(Keys, "status", and_an_upload)
        with pytest.raises(KeyNeeded, match="has just wrapped"):
            await moving.retire(BY, old.key_id, NOWHERE)
    assert await record_of(database, "key.retired") == []
