"""Identity's services, built once a process. Comes in: resources. Leaves: what deps and other features are handed."""

from dataclasses import dataclass
from datetime import timedelta

from portal.core.cursor import Cursors
from portal.core.principal import CredentialKind
from portal.features.identity.accounts import Accounts
from portal.features.identity.callers import Callers
from portal.features.identity.factors import Factors
from portal.features.identity.my_sessions import MySessions
from portal.features.identity.owner import Owner
from portal.features.identity.passwords import PasswordHasher
from portal.features.identity.people import People
from portal.features.identity.proofs import Proofs
from portal.features.identity.refresh import RefreshTokens
from portal.features.identity.registration import Policy, Registration
from portal.features.identity.revocation import Revocations
from portal.features.identity.sessions import IDLE, Sessions
from portal.features.identity.throttle import Throttle
from portal.features.identity.tokens import AccessTokens
from portal.features.identity.users import Users
from portal.resources import Resources


@dataclass(frozen=True, slots=True)
class Rules:
    """What an operator decides about accounts."""

    registration: Policy = "closed"
    require_admin_totp: bool = False
    idle: timedelta = IDLE


DEFAULT = Rules()


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is who."""

    users: Users
    sessions: Sessions
    my_sessions: MySessions
    callers: Callers
    accounts: Accounts
    owner: Owner
    registration: Registration
    hasher: PasswordHasher
    cursors: Cursors
    revocations: Revocations
    people: People


def build(resources: Resources, hasher: PasswordHasher | None = None, rules: Rules = DEFAULT) -> Identity:
    """`hasher` is other than the default in tests alone."""
    database, keys, hasher = resources.database, resources.secret_keys, hasher or PasswordHasher()
    factors, revocations = Factors(keys), Revocations()
    proofs = Proofs(database, hasher, Throttle(keys), factors)
    sessions = Sessions(
        database,
        proofs,
        AccessTokens(keys),
        RefreshTokens(keys),
        require_admin_totp=rules.require_admin_totp,
        idle=rules.idle,
    )
    callers = Callers()
    callers.add(CredentialKind.SESSION, sessions)
    return Identity(
        users=Users(database, hasher),
        sessions=sessions,
        my_sessions=MySessions(database, sessions),
        callers=callers,
        accounts=Accounts(database, sessions, factors, revocations),
        owner=Owner(database, hasher, proofs, factors, revocations),
        registration=Registration(database, hasher, rules.registration, revocations),
        hasher=hasher,
        cursors=Cursors(keys),
        revocations=revocations,
        people=People(database),
    )
