"""A user's own account: change the password, manage the authenticator, end sessions and everything given away.

Comes in: a principal and its password, because a session alone must not change a credential. Leaves: changes, each in
the audit log.
"""

from dataclasses import dataclass, field
from typing import TypeVar

from portal.core import clock
from portal.core.principal import Origin, Principal
from portal.db.connection import Connection
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
    """The secret for an authenticator app, as text and as otpauth URI. Shown once."""

    secret: str = field(repr=False)
    uri: str = field(repr=False)


class OwnAccount:
    """The operations of users on their own accounts. Safe for concurrent use."""

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
        """Change the password. Every other session ends; with `everything`, all that the account gave away too.

        Raises Conflict and the errors of `PasswordAuthenticator.authenticate` and `PasswordHasher.hash`.
        """
        user = await self._proved(principal, current, code, origin, _themselves)
        # Hashing is expensive: it begins only after the current password was right.
        made = await self._hasher.hash(new, name=user.name, share=QueueShare.by_account(user.id))
        async with self._database.write() as connection:
            await put_password(connection, user, made)
            if everything:
                await self._revocations.end_everything(connection, user.id, principal.actor, origin)
            now = await found(connection, user.id)
            await session_rows.move(connection, principal.credential_id, now.epoch, clock.now())
            await _on_record(connection, EventKind.PASSWORD_CHANGED, principal, origin)

    async def confirm(self, principal: Principal, password: str, code: str | None, origin: Origin) -> None:
        """Check the password again. For a while this session may do what needs a fresh sign-in (`recent_sign_in`).

        Raises the errors of `PasswordAuthenticator.authenticate`.
        """

        async def confirm(connection: Connection, _: User) -> None:
            await session_rows.prove(connection, principal.credential_id, clock.now())
            event = Event(EventKind.CONFIRMED, principal.actor, str(principal.credential_id), origin)
            await record.write(connection, event)

        await self._proved(principal, password, code, origin, confirm)

    async def enrol_totp(self, principal: Principal, password: str, origin: Origin) -> Enrolment:
        """Create an authenticator secret. It has no effect until `confirm_totp`.

        Raises AlreadyEnrolled and the errors of `PasswordAuthenticator.authenticate`.
        """

        async def enrol(connection: Connection, user: User) -> Enrolment:
            secret = await self._factors.enrol(connection, user)
            return Enrolment(secret, otpauth_uri(secret, user.name))

        return await self._proved_to_enrol(principal, password, origin, enrol)

    async def confirm_totp(self, principal: Principal, password: str, code: str, origin: Origin) -> list[str]:
        """Confirm the authenticator with a code: from now on every sign-in needs one.

        Returns the recovery codes, to show once.
        Raises the errors of `Factors.confirm` and `PasswordAuthenticator.authenticate`.
        """

        async def confirm(connection: Connection, user: User) -> list[str]:
            codes = await self._factors.confirm(connection, user, code)
            await _on_record(connection, EventKind.TOTP_CONFIRMED, principal, origin)
            return codes

        return await self._proved_to_enrol(principal, password, origin, confirm)

    async def remove_totp(self, principal: Principal, password: str, code: str, origin: Origin) -> None:
        """Remove the authenticator. Raises NotEnrolled and the errors of `PasswordAuthenticator.authenticate`."""

        async def remove(connection: Connection, user: User) -> None:
            await self._factors.remove(connection, user)
            await _on_record(connection, EventKind.TOTP_REMOVED, principal, origin)

        await self._proved(principal, password, code, origin, remove)

    async def end_all_sessions(self, principal: Principal, origin: Origin) -> None:
        """End every session of the user, the caller's included."""
        async with self._database.write() as connection:
            await repository.end_sessions(connection, principal.user_id)
            await _on_record(connection, EventKind.SESSIONS_ENDED, principal, origin)

    async def end_everything(self, principal: Principal, origin: Origin) -> Counts:
        """End every session, the caller's included, and every credential and right that the account gave away.

        Returns the number that ended, by kind.
        """
        async with self._database.write() as connection:
            return await self._revocations.end_everything(connection, principal.user_id, principal.actor, origin)

    async def _proved_to_enrol(
        self, principal: Principal, password: str, origin: Origin, then: OnAuthenticated[_T]
    ) -> _T:
        """As `_proved` without a code. An account with an authenticator gets AlreadyEnrolled, not TotpRequired."""
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


async def _on_record(connection: Connection, kind: EventKind, principal: Principal, origin: Origin) -> None:
    await record.write(connection, Event(kind, principal.actor, str(principal.user_id), origin))


async def _themselves(_: Connection, user: User) -> User:
    return user
