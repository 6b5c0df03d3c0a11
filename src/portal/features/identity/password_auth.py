"""Password authentication: a password, a code where the account has a second factor, and a throttle.

Comes in: the credentials that a client sent. Leaves: the result of a callback, which runs in the transaction in which
the check holds. Every refusal is in the audit log. An unknown user, a disabled user and a wrong password cost the same
work and get the same response.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from portal.core.errors import PortalError, Unavailable, Unprocessable
from portal.core.principal import Origin
from portal.db.connection import Connection
from portal.db.unit_of_work import Database
from portal.features.audit import record
from portal.features.audit.events import Detail, Event, EventKind
from portal.features.identity import repository
from portal.features.identity.factors import Factors
from portal.features.identity.grant_errors import InvalidGrant, TotpRequired
from portal.features.identity.hashing_queue import QueueShare
from portal.features.identity.passwords import PasswordHasher
from portal.features.identity.repository import User
from portal.features.identity.throttle import Attempt, Throttle, TooManyAttempts

_SHOWN_NAME = 64  # characters of a user name that go into the audit log
_T = TypeVar("_T")
OnAuthenticated = Callable[[Connection, User], Awaitable[_T]]


@dataclass(frozen=True, slots=True)
class PasswordCredentials:
    """A name, a password, and a code of the second factor, as a client sent them."""

    name: str
    password: str = field(repr=False)
    code: str | None = field(default=None, repr=False)


class PasswordAuthenticator:
    """The only place where an account's password is checked. Safe for concurrent use."""

    def __init__(self, database: Database, hasher: PasswordHasher, throttle: Throttle, factors: Factors) -> None:
        self._database = database
        self._hasher = hasher
        self._throttle = throttle
        self._factors = factors

    async def authenticate(
        self, typed: PasswordCredentials, origin: Origin, then: OnAuthenticated[_T], *, share: QueueShare | None = None
    ) -> _T:
        """Check the credentials, call `then(connection, user)` in the deciding transaction, and return its result.

        `share` is the caller's share of the hashing queue; by default the network of `origin`.
        Raises InvalidGrant, TotpRequired, TooManyAttempts, Unprocessable, Unavailable, and the errors of `then`.
        """
        attempt = self._throttle.attempt(typed.name, origin)
        user = await self._begin(attempt, typed.name, origin)
        await self._require_password(attempt, user, typed, origin, share or QueueShare.by_address(origin))
        try:
            return await self._settle(attempt, user, typed, origin, then)
        except TotpRequired:
            await self._refuse(typed.name, origin, given_back=attempt, factor="missing")
            raise
        except InvalidGrant:
            await self._refuse(typed.name, origin, factor="wrong")
            raise
        except PortalError:  # the credentials were right; another error came up
            await self._give_back(attempt)
            raise

    async def _begin(self, attempt: Attempt, name: str, origin: Origin) -> User | None:
        """Charge the throttle, and return the user, if the name is of an enabled one. Raises TooManyAttempts."""
        async with self._database.write() as connection:
            # An invalid name has no user: a NUL never reaches the database.
            user = await repository.user_by_name(connection, name)
            wait = await self._throttle.begin(connection, attempt, user)
            if wait:
                details: dict[str, Detail] = {"name": name[:_SHOWN_NAME], "seconds": wait}
                await record.write(connection, Event(EventKind.SIGN_IN_THROTTLED, "nobody", None, origin, details))
        if wait:
            raise TooManyAttempts(wait)
        return user if user is not None and user.disabled_at is None else None

    async def _require_password(
        self, attempt: Attempt, user: User | None, typed: PasswordCredentials, origin: Origin, share: QueueShare
    ) -> None:
        try:
            known = user.password_hash if user else None
            right = await self._hasher.verify(typed.password, known or None, share)
        except Unprocessable:
            await self._refuse(typed.name, origin)
            raise
        except Unavailable:
            await self._give_back(attempt)
            raise
        if not right:
            await self._refuse(typed.name, origin)
            raise InvalidGrant

    async def _settle(
        self, attempt: Attempt, user: User | None, typed: PasswordCredentials, origin: Origin, then: OnAuthenticated[_T]
    ) -> _T:
        async with self._database.write() as connection:
            now = await repository.user_by_id(connection, user.id) if user else None
            if user is None or now is None or now.epoch != user.epoch:  # changed while the password was checked
                raise InvalidGrant
            await self._factors.require(connection, now, typed.code, origin)
            done = await then(connection, now)
            await self._throttle.forgive(connection, attempt, now)
            return done

    async def _give_back(self, attempt: Attempt) -> None:
        async with self._database.write() as connection:
            await self._throttle.give_back(connection, attempt)

    async def _refuse(self, name: str, origin: Origin, *, given_back: Attempt | None = None, **details: Detail) -> None:
        said: dict[str, Detail] = {"grant": "password", "name": name[:_SHOWN_NAME], **details}
        async with self._database.write() as connection:
            if given_back is not None:
                await self._throttle.give_back(connection, given_back)
            await record.write(connection, Event(EventKind.SIGN_IN_FAILED, "nobody", None, origin, said))
