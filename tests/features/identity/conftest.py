"""Accounts and sign-ins over the shared databases, with a password hash that costs nothing."""

import pytest

from portal.core.secrets import Secret
from portal.db.unit_of_work import Database
from portal.features.identity.accounts import Accounts
from portal.features.identity.factors import Factors
from portal.features.identity.own_account import OwnAccount
from portal.features.identity.password_auth import PasswordAuthenticator
from portal.features.identity.passwords import PasswordHasher
from portal.features.identity.refresh import RefreshTokens
from portal.features.identity.revocation import Revocations
from portal.features.identity.sessions import Sessions
from portal.features.identity.throttle import Throttle
from portal.features.identity.tokens import AccessTokens
from portal.features.identity.users import Users
from portal.features.tokens.service import end_tokens_of

KEYS = [Secret(b"s" * 32)]


@pytest.fixture
def hasher() -> PasswordHasher:
    return PasswordHasher(memory_kib=8, passes=1, lanes=1)


@pytest.fixture
def users(database: Database, hasher: PasswordHasher) -> Users:
    return Users(database, hasher)


@pytest.fixture
def factors() -> Factors:
    return Factors(KEYS)


@pytest.fixture
def password_auth(database: Database, hasher: PasswordHasher, factors: Factors) -> PasswordAuthenticator:
    return PasswordAuthenticator(database, hasher, Throttle(KEYS), factors)


@pytest.fixture
def sessions(database: Database, password_auth: PasswordAuthenticator) -> Sessions:
    return Sessions(database, password_auth, AccessTokens(KEYS), RefreshTokens(KEYS))


@pytest.fixture
def revocations() -> Revocations:
    """Of everything that features above keep, API tokens alone."""
    made = Revocations()
    made.add("api_tokens", end_tokens_of)
    return made


@pytest.fixture
def accounts(database: Database, sessions: Sessions, factors: Factors, revocations: Revocations) -> Accounts:
    return Accounts(database, sessions, factors, revocations)


@pytest.fixture
def owner(
    database: Database,
    hasher: PasswordHasher,
    password_auth: PasswordAuthenticator,
    factors: Factors,
    revocations: Revocations,
) -> OwnAccount:
    return OwnAccount(database, hasher, password_auth, factors, revocations)
