"""Accounts and sign-ins over the shared databases, with a password hash that costs nothing."""

import pytest

from portal.core.secrets import Secret
from portal.db.unit_of_work import Database
from portal.features.identity.passwords import PasswordHasher
from portal.features.identity.refresh import RefreshTokens
from portal.features.identity.sessions import Sessions
from portal.features.identity.tokens import AccessTokens
from portal.features.identity.users import Users


@pytest.fixture
def hasher() -> PasswordHasher:
    return PasswordHasher(memory_kib=8, passes=1, lanes=1)


@pytest.fixture
def users(database: Database, hasher: PasswordHasher) -> Users:
    return Users(database, hasher)


@pytest.fixture
def sessions(database: Database, hasher: PasswordHasher) -> Sessions:
    keys = [Secret(b"s" * 32)]
    return Sessions(database, hasher, AccessTokens(keys), RefreshTokens(keys))
