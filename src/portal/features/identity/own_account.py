"""What people do with their own account: another password, an authenticator, an end to everything it gave away.

Comes in: a principal and what proves it once more: a session alone changes no credential. Leaves: changes, on record.
"""

from dataclasses import dataclass, field
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

from portal.core import clock
from portal.core.principal import Origin, Principal
from portal.db.unit_of_work import Database
from portal.features.audit import record
from portal.features.audit.events import Event, EventKind
from portal.features.identity import repository, session_rows
from portal.features.identity.factors import AlreadyEnrolled, Factors
from portal.features.identity.hashing_queue import QueueShare
from portal.features.identity.password_auth import OnAuthenticated, PasswordAuthenticator, PasswordCredentials
from portal.features.identity.passwords import PasswordHasher
from portal.features.identity.registration import put_password
from portal.features.identity.repository import User
from portal.features.identity.revocation import Counts, Revocations
from portal.features.identity.totp import otpauth_uri
from portal.features.identity.users import found

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What an authenticator is given, once."""

    secret: str = field(repr=False)
    uri: str = field(repr=False)


class OwnAccount:
    """Everybody's own account."""

    def __init__(
        self,
        database: Database,
        hasher: PasswordHasher,
        password_auth: PasswordAuthenticator,
        factors: Factors,
        revocations: Revocations,
    ) -> None:
        self._database = database
        self._revocations = revocations
        self._hasher = hasher
        self._password_auth = password_auth
        self._factors = factors

    async def change_password(
        self,
        principal: Principal,
        current: str,
        code: str | None,
        new: str,
        origin: Origin,
        *,
        everything: bool = False,
    ) -> None:
        """Ends every other session; and `everything` else that the account gave away.

        Raises what `PasswordAuthenticator.prove` and `PasswordHasher.hash` raise, Conflict.
        """
        user = await self._proved(principal, current, code, origin, _themselves)
        # Work that only a proof sets going.
        made = await self._hasher.hash(new, name=user.name, share=QueueShare.by_account(user.id))
        async with self._database.write() as connection:
            await put_password(connection, user, made)
            if everything:
                await self._revocations.end_everything(connection, user.id, principal.actor, origin)
            now = await found(connection, user.id)
            await session_rows.move(connection, principal.credential_id, now.epoch, clock.now())
            await _on_record(connection, EventKind.PASSWORD_CHANGED, principal, origin)

    async def confirm(self, principal: Principal, password: str, code: str | None, origin: Origin) -> None:
        """The password once more: what only a fresh sign-in may do, this session may for a while."""

        async def confirm(connection: AsyncConnection, _: User) -> None:
            await session_rows.prove(connection, principal.credential_id, clock.now())
            event = Event(EventKind.CONFIRMED, principal.actor, str(principal.credential_id), origin)
            await record.write(connection, event)

        await self._proved(principal, password, code, origin, confirm)

    async def enrol_totp(self, principal: Principal, password: str, origin: Origin) -> Enrolment:
        """A secret that counts for nothing until it is confirmed.

        Raises AlreadyEnrolled, and what `PasswordAuthenticator.authenticate` raises.
        """

        async def enrol(connection: AsyncConnection, user: User) -> Enrolment:
            secret = await self._factors.enrol(connection, user)
            return Enrolment(secret, otpauth_uri(secret, user.name))

        return await self._proved_to_enrol(principal, password, origin, enrol)

    async def confirm_totp(self, principal: Principal, password: str, code: str, origin: Origin) -> list[str]:
        """From now on a code is asked for. The recovery codes, to show once. Raises what `Factors.confirm` raises."""

        async def confirm(connection: AsyncConnection, user: User) -> list[str]:
            codes = await self._factors.confirm(connection, user, code)
            await _on_record(connection, EventKind.TOTP_CONFIRMED, principal, origin)
            return codes

        return await self._proved_to_enrol(principal, password, origin, confirm)

    async def remove_totp(self, principal: Principal, password: str, code: str, origin: Origin) -> None:
        """Raises NotEnrolled, what `PasswordAuthenticator.prove` raises."""

        async def remove(connection: AsyncConnection, user: User) -> None:
            await self._factors.remove(connection, user)
            await _on_record(connection, EventKind.TOTP_REMOVED, principal, origin)

        await self._proved(principal, password, code, origin, remove)

    async def end_all_sessions(self, principal: Principal, origin: Origin) -> None:
        """This one too."""
        async with self._database.write() as connection:
            await repository.end_sessions(connection, principal.user_id)
            await _on_record(connection, EventKind.SESSIONS_ENDED, principal, origin)

    async def end_everything(self, principal: Principal, origin: Origin) -> Counts:
        """Every session, this one too, and every credential and right that the account gave away."""
        async with self._database.write() as connection:
            return await self._revocations.end_everything(connection, principal.user_id, principal.actor, origin)

    async def _proved_to_enrol(
        self, principal: Principal, password: str, origin: Origin, then: OnAuthenticated[_T]
    ) -> _T:
        """Who has an authenticator is told so, and not asked for a code of it."""
        if (await self._user(principal)).totp_since is not None:
            raise AlreadyEnrolled
        return await self._proved(principal, password, None, origin, then)

    async def _proved(
        self, principal: Principal, password: str, code: str | None, origin: Origin, then: OnAuthenticated[_T]
    ) -> _T:
        user = await self._user(principal)
        share = QueueShare.by_account(user.id)
        return await self._password_auth.authenticate(
            PasswordCredentials(user.name, password, code), origin, then, share=share
        )

    async def _user(self, principal: Principal) -> User:
        async with self._database.read() as connection:
            return await found(connection, principal.user_id)


async def _on_record(connection: AsyncConnection, kind: EventKind, principal: Principal, origin: Origin) -> None:
    await record.write(connection, Event(kind, principal.actor, str(principal.user_id), origin))


async def _themselves(_: AsyncConnection, user: User) -> User:
    return user
