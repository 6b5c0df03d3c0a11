"""The identity services, built once per process from the resources. Used by `deps` and other features."""

from dataclasses import dataclass
from datetime import timedelta

from portal.core.principal import CredentialKind
from portal.features.identity.account_names import AccountNames
from portal.features.identity.accounts import Accounts
from portal.features.identity.authenticators import Authenticators
from portal.features.identity.factors import Factors
from portal.features.identity.own_account import OwnAccount
from portal.features.identity.own_sessions import OwnSessions
from portal.features.identity.password_auth import PasswordAuthenticator
from portal.features.identity.passwords import PasswordHasher
from portal.features.identity.refresh import RefreshTokens
from portal.features.identity.registration import Registration, RegistrationMode
from portal.features.identity.revocation import Revocations
from portal.features.identity.sessions import IDLE, Sessions
from portal.features.identity.throttle import Throttle
from portal.features.identity.tokens import AccessTokens
from portal.features.identity.users import Users
from portal.resources import Resources


@dataclass(frozen=True, slots=True)
class Rules:
    """The operator's settings for accounts."""

    registration: RegistrationMode = "closed"
    require_admin_totp: bool = False
    idle: timedelta = IDLE


DEFAULT = Rules()


@dataclass(frozen=True, slots=True)
class Identity:
    """The identity services of one portal."""

    users: Users
    sessions: Sessions
    my_sessions: OwnSessions
    authenticators: Authenticators
    accounts: Accounts
    own_account: OwnAccount
    registration: Registration
    hasher: PasswordHasher
    revocations: Revocations
    account_names: AccountNames


def build(resources: Resources, hasher: PasswordHasher | None = None, rules: Rules = DEFAULT) -> Identity:
    """Build the services. Only tests pass a `hasher`."""
    database, keys, hasher = resources.database, resources.secret_keys, hasher or PasswordHasher()
    factors, revocations = Factors(keys), Revocations()
    password_auth = PasswordAuthenticator(database, hasher, Throttle(keys), factors)
    sessions = Sessions(
        database,
        password_auth,
        AccessTokens(keys),
        RefreshTokens(keys),
        require_admin_totp=rules.require_admin_totp,
        idle=rules.idle,
    )
    authenticators = Authenticators()
    authenticators.add(CredentialKind.SESSION, sessions)
    return Identity(
        users=Users(database, hasher),
        sessions=sessions,
        my_sessions=OwnSessions(database, sessions),
        authenticators=authenticators,
        accounts=Accounts(database, sessions, factors, revocations),
        own_account=OwnAccount(database, hasher, password_auth, factors, revocations),
        registration=Registration(database, hasher, rules.registration, revocations),
        hasher=hasher,
        revocations=revocations,
        account_names=AccountNames(database),
    )
