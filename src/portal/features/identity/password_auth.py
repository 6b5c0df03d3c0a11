"""Whether somebody is who they say: a password, a code where the account wants one, and not too many tries.

Comes in: what was typed. Leaves: whatever the caller does in the transaction in which the proof holds. Every refusal is
on record. An unknown, a disabled and a mistaken user cost the same work and get the same answer.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

from portal.core.errors import InvalidGrant, PortalError, TooManyAttempts, TotpRequired, Unavailable, Unprocessable
from portal.core.principal import Origin
from portal.db.unit_of_work import Database
from portal.features.audit import record
from portal.features.audit.events import Detail, Event, EventKind
from portal.features.identity import repository
from portal.features.identity.factors import Factors
from portal.features.identity.hashing_queue import QueueShare
from portal.features.identity.passwords import PasswordHasher
from portal.features.identity.repository import User
from portal.features.identity.throttle import Attempt, Throttle

_SHOWN_NAME = 64  # characters of an unknown user name that go on record
_T = TypeVar("_T")
OnAuthenticated = Callable[[AsyncConnection, User], Awaitable[_T]]


@dataclass(frozen=True, slots=True)
class PasswordCredentials:
    """What somebody typed."""

    name: str
    password: str = field(repr=False)
    code: str | None = field(default=None, repr=False)


class PasswordAuthenticator:
    """The one place where a password is judged."""

    def __init__(self, database: Database, hasher: PasswordHasher, throttle: Throttle, factors: Factors) -> None:
        self._database = database
        self._hasher = hasher
        self._throttle = throttle
        self._factors = factors

    async def authenticate(
        self, typed: PasswordCredentials, origin: Origin, then: OnAuthenticated[_T], *, share: QueueShare | None = None
    ) -> _T:
        """What `then` gives; `asker` is who is signed in, an address where nobody is.

        Raises InvalidGrant, TotpRequired, TooManyAttempts, Unprocessable, Unavailable.
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
        except PortalError:  # it was proven, and something else is in the way
            await self._give_back(attempt)
            raise

    async def _begin(self, attempt: Attempt, name: str, origin: Origin) -> User | None:
        """The user, if there is one who may sign in; and the charge."""
        async with self._database.write() as connection:
            # Nobody has a name that is none, and a database need not be asked about a NUL.
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
            if user is None or now is None or now.epoch != user.epoch:  # changed while the password was judged
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
