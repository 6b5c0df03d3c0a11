"""Identity's services, built once a process. Comes in: resources. Leaves: what deps and other features are handed."""

from dataclasses import dataclass

from portal.core.principal import CredentialKind
from portal.features.identity.callers import Callers
from portal.features.identity.passwords import PasswordHasher
from portal.features.identity.refresh import RefreshTokens
from portal.features.identity.sessions import Sessions
from portal.features.identity.tokens import AccessTokens
from portal.features.identity.users import Users
from portal.resources import Resources


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is who."""

    users: Users
    sessions: Sessions
    callers: Callers


def build(resources: Resources, hasher: PasswordHasher | None = None) -> Identity:
    """`hasher` is other than the default in tests alone."""
    hasher = hasher or PasswordHasher()
    access, refresh = AccessTokens(resources.secret_keys), RefreshTokens(resources.secret_keys)
    sessions, callers = Sessions(resources.database, hasher, access, refresh), Callers()
    callers.add(CredentialKind.SESSION, sessions)
    return Identity(users=Users(resources.database, hasher), sessions=sessions, callers=callers)
