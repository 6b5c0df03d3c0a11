"""The status of keys, on both databases: what each master key protects, how its provider is, what a loss would mean."""

from dataclasses import replace
from typing import Any

import pytest

from portal.backends.keys.local import LocalKeyProvider
from portal.core.errors import Forbidden
from portal.core.ids import new_id
from portal.core.key_scopes import NO_CASE, scope_of
from portal.core.principal import Principal, Role
from portal.core.secrets import Secret
from portal.db.unit_of_work import Database
from portal.features.admin.key_views import KeyStatus, MasterKey, VersionUse
from portal.features.admin.keys import Keys
from portal.features.admin.sealed_secrets import SealedSecrets
from portal.features.identity.authenticators import Authenticators
from portal.features.signing.keys import SigningKeys
from portal.keyring.keyring import Keyring

from .stage import Versioned, add_case, add_file

ADMIN = Principal("user:admin", Role.ADMIN, new_id(), new_id())


def keys(database: Database, *providers: Any) -> Keys:
    secret_keys = (Secret(b"s" * 32),)
    sealed = SealedSecrets(database, secret_keys, SigningKeys(database, secret_keys))
    return Keys(database, Keyring(database, providers), sealed, Authenticators())


async def found(of: Keys) -> tuple[MasterKey, ...]:
    return (await of.status(ADMIN)).master_keys


async def test_every_master_key_says_what_it_protects(database: Database) -> None:
    old, first = LocalKeyProvider.random(), LocalKeyProvider.random()
    inbox = await Keyring(database, [old]).active(NO_CASE)
    await add_file(database, inbox, size=10, case_id=None, status="ready")
    await add_file(database, inbox, size=5, case_id=None, status="quarantined")
    await add_file(database, inbox, size=7, case_id=None, status="deleting")
    fresh, before = await found(keys(database, first, old))
    assert (fresh.key_id, fresh.wraps, fresh.data_keys, fresh.files, fresh.bytes) == (first.key_id, True, 0, 0, 0)
    assert fresh.loss == "No file is under it. Uploads are refused until another provider is the first."
    assert (fresh.oldest_active_at, fresh.newest_active_at) == (None, None)
    assert (before.key_id, before.wraps, before.data_keys, before.files, before.bytes) == (old.key_id, False, 1, 2, 15)
    assert before.loss == "2 file(s) become unreadable, 15 bytes: 0 in 0 case(s), 2 in inboxes."
    assert before.oldest_active_at == before.newest_active_at is not None
    (_, lost) = await found(keys(database, first))
    assert (lost.status, lost.files) == (KeyStatus.NOT_CONFIGURED, 2)
    assert lost.loss.startswith("2 file(s) are unreadable, ")


async def test_files_of_cases_are_told_apart(database: Database) -> None:
    provider = LocalKeyProvider.random()
    case_id = await add_case(database)
    key = await Keyring(database, [provider]).active(scope_of(case_id))
    for size in (1, 2):
        await add_file(database, key, size=size, case_id=case_id, status="ready")
    (told,) = await found(keys(database, provider))
    assert told.loss.startswith("2 file(s) become unreadable, 3 bytes: 2 in 1 case(s), 0 in inboxes.")


async def test_versions_and_health_are_told_without_a_call(database: Database) -> None:
    provider = Versioned()
    await Keyring(database, [provider]).active("case:" + "0a" * 16)
    provider.newest = 3
    for digit in "bc":
        await Keyring(database, [provider]).active(f"case:{digit * 32}")
    calls = provider.calls.copy()
    of = keys(database, provider)
    (told,) = await found(of)
    assert (told.status, told.reason) == (KeyStatus.ANSWERS, None)
    assert told.versions == (VersionUse(1, 1), VersionUse(3, 2))
    assert told.oldest_active_at is not None
    assert told.newest_active_at is not None
    assert told.oldest_active_at < told.newest_active_at
    provider.away = True
    (told,) = await found(of)
    assert (told.status, told.reason) == (KeyStatus.AWAY, "no answer in time")
    assert provider.calls == calls


@pytest.mark.parametrize("role", set(Role) - {Role.ADMIN})
async def test_keys_are_for_administrators_alone(role: Role) -> None:
    nothing: Any = None  # it is refused before anything is asked for
    with pytest.raises(Forbidden):
        await Keys(nothing, nothing, nothing, nothing).status(replace(ADMIN, role=role))
