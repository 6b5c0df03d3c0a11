"""Account administration: list, create, change, reset and sign out accounts; create and revoke invitations.

Comes in: an administrator or the command line. An administrator's permission is checked again in the transaction of
the change. Leaves: users and one-time secrets. Each change is in the audit log with the values before and after.
Invariant: at least one administrator who can sign in remains.
"""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from portal.core import clock
from portal.core.errors import Conflict, NotFound, PreconditionFailed
from portal.core.pagination import After, Page, page_of
from portal.core.principal import Origin, Principal, Role
from portal.db.connection import Connection
from portal.db.unit_of_work import Database
from portal.features.audit import record
from portal.features.audit.events import Detail, Event, EventKind
from portal.features.authz import policy
from portal.features.authz.actions import Action
from portal.features.identity import invitation_rows, repository, throttle_rows, users
from portal.features.identity.factors import Factors
from portal.features.identity.invitation_rows import Invitation
from portal.features.identity.registration import PASSWORD_SECRET_LASTS, OneTime, issue, put_password
from portal.features.identity.repository import User, UserFilters
from portal.features.identity.revocation import Counts, Revocations, Revoked
from portal.features.identity.sessions import Sessions
from portal.features.identity.throttle import FORGOTTEN, KNOWN_FOR

Actor = Principal | str
"""The acting party: a principal, or the name by which the audit log calls the command line. The latter has no role."""


class LastAdministrator(Conflict):
    code, title = "last_administrator", "Without this account nobody could run the portal."


@dataclass(frozen=True, slots=True)
class UserChanges:
    """The fields of an account that can change. None leaves a field as it is."""

    role: Role | None = None
    disabled: bool | None = None


class Accounts:
    """The accounts of one portal, as its administrators see them. Safe for concurrent use."""

    def __init__(self, database: Database, sessions: Sessions, factors: Factors, revocations: Revocations) -> None:
        self._database = database
        self._revocations = revocations
        self._sessions = sessions
        self._factors = factors

    async def page(self, by: Actor, filters: UserFilters, after: After | None, limit: int) -> Page[User]:
        """One page of accounts, newest first. Raises Forbidden."""
        async with self._database.read() as connection:
            await self._actor(connection, by)
            found = await repository.list_users(connection, filters, after, limit + 1)
        return page_of(found, limit)

    async def get(self, by: Actor, user_id: UUID) -> User:
        """Return one account. Raises Forbidden, NotFound."""
        async with self._database.read() as connection:
            await self._actor(connection, by)
            return await users.found(connection, user_id)

    async def create(self, by: Actor, name: str, role: Role, origin: Origin) -> tuple[User, OneTime]:
        """Create an account, and a one-time secret for its first password.

        Raises Unprocessable, UserTaken, Forbidden.
        """
        user = users.new_user(name, role, repository.NO_PASSWORD)
        async with self._database.write() as connection:
            actor = await self._held(connection, by)
            await users.add(connection, user, actor, origin)
            _, secret = await issue(connection, user_id=user.id, by=_maker(by), lasts=PASSWORD_SECRET_LASTS)
        return user, secret

    async def change(self, by: Actor, user_id: UUID, version: int | None, changes: UserChanges, origin: Origin) -> User:
        """Change role or status. A change ends the user's sessions and API tokens.

        Disabling also ends everything else that the account gave away. Enabling it again brings none of that back.
        `version` is the expected version of the account; None expects none.
        Raises Forbidden, NotFound, PreconditionFailed, LastAdministrator.
        """
        async with self._database.write() as connection:
            administrators = await repository.hold_administrators(connection)
            actor = await self._actor(connection, by)  # after the lock: the role may be lost by now
            user = await users.found(connection, user_id)
            role, disabled = _wanted(user, changes)
            if version not in {None, user.version}:
                raise PreconditionFailed
            if administrators <= {user.id} and _ends_an_administrator(user, role, disabled=disabled):
                raise LastAdministrator
            if (role, disabled) != (user.role, user.disabled_at is not None):
                await self._put(connection, user, role, disabled=disabled)
                about = Revoked(user.id, actor, origin, account=True)
                ended = await self._revocations.run(connection, about)
                await record.write(connection, _updated(actor, user, role, origin, ended, disabled=disabled))
            return await users.found(connection, user_id)

    async def reset_password(self, by: Actor, user_id: UUID, origin: Origin, *, everything: bool = False) -> OneTime:
        """End the password and every session, and return a one-time secret for a new password.

        With `everything`, all that the account gave away ends too. The authenticator stays.
        Raises Forbidden, NotFound, LastAdministrator.
        """
        async with self._database.write() as connection:
            administrators = await repository.hold_administrators(connection)
            actor = await self._actor(connection, by)
            user = await users.found(connection, user_id)
            if administrators <= {user.id} and user.role is Role.ADMIN and not isinstance(by, str):
                raise LastAdministrator  # a lost response would lock all administrators out; the command line may
            await put_password(connection, user, repository.NO_PASSWORD)
            if everything:
                await self._revocations.end_everything(connection, user.id, actor, origin)
            await throttle_rows.forget_addresses(connection, user.id)
            _, secret = await issue(connection, user_id=user.id, by=_maker(by), lasts=PASSWORD_SECRET_LASTS)
            await record.write(connection, Event(EventKind.PASSWORD_RESET, actor, str(user.id), origin))
        return secret

    async def reset_totp(self, by: Actor, user_id: UUID, origin: Origin) -> None:
        """Remove the second factor of a user who lost authenticator and recovery codes; their sessions end.

        Raises Forbidden, NotFound, NotEnrolled.
        """
        async with self._database.write() as connection:
            actor = await self._actor(connection, by)
            await self._factors.remove(connection, await users.found(connection, user_id))
            await repository.end_sessions(connection, user_id)
            await record.write(connection, Event(EventKind.TOTP_REMOVED, actor, str(user_id), origin))

    async def end_sessions(self, by: Actor, user_id: UUID, origin: Origin) -> None:
        """End every session of a user. Raises Forbidden, NotFound."""
        async with self._database.write() as connection:
            actor = await self._actor(connection, by)
            await users.found(connection, user_id)
            await repository.end_sessions(connection, user_id)
            await record.write(connection, Event(EventKind.SESSIONS_ENDED, actor, str(user_id), origin))

    async def end_everything(self, by: Actor, user_id: UUID, origin: Origin) -> Counts:
        """End a user's sessions, and every credential and right that the account gave away.

        Returns the number that ended, by kind. Raises Forbidden, NotFound.
        """
        async with self._database.write() as connection:
            actor = await self._actor(connection, by)
            await users.found(connection, user_id)
            return await self._revocations.end_everything(connection, user_id, actor, origin)

    async def invite(self, by: Actor, role: Role, lasts: timedelta, origin: Origin) -> tuple[Invitation, OneTime]:
        """Create an invitation: a one-time secret for one new account of `role`. Raises Forbidden."""
        async with self._database.write() as connection:
            actor = await self._held(connection, by)
            made, secret = await issue(connection, role=role, by=_maker(by), lasts=lasts)
            said = Event(EventKind.USER_INVITED, actor, str(made.id), origin, {"role": role.value})
            await record.write(connection, said)
        return made, secret

    async def invitations(self, by: Actor) -> list[Invitation]:
        """The valid invitations, newest first. Raises Forbidden."""
        async with self._database.read() as connection:
            await self._actor(connection, by)
            return await invitation_rows.list_good(connection, clock.now())

    async def revoke_invitation(self, by: Actor, invitation_id: UUID, origin: Origin) -> None:
        """Revoke an invitation. Raises Forbidden, NotFound."""
        async with self._database.write() as connection:
            actor = await self._actor(connection, by)
            if not await invitation_rows.revoke(connection, invitation_id):
                raise NotFound
            await record.write(connection, Event(EventKind.INVITATION_REVOKED, actor, str(invitation_id), origin))

    async def sweep(self) -> None:
        """Delete expired invitations, and throttle counts and known addresses that no longer have an effect."""
        now = clock.now()
        async with self._database.write() as connection:
            await invitation_rows.forget_expired(connection, now)
            await throttle_rows.forget(connection, failed_before=now - FORGOTTEN, seen_before=now - KNOWN_FOR)

    async def _actor(self, connection: Connection, by: Actor) -> str:
        if isinstance(by, str):
            return by
        principal = await self._sessions.require_live(connection, by.credential_id)
        policy.require(principal, Action.USER_MANAGE)
        return principal.actor

    async def _held(self, connection: Connection, by: Actor) -> str:
        """As `_actor`, with the actor's account locked: for an operation that returns a secret.

        A concurrent `end_everything` of the actor either commits first, or ends the new secret too.
        """
        if isinstance(by, Principal):
            await repository.hold_user(connection, by.user_id)
        return await self._actor(connection, by)

    async def _put(self, connection: Connection, user: User, role: Role, *, disabled: bool) -> None:
        since = user.disabled_at or clock.now() if disabled else None
        changed = await repository.change_user(
            connection, user, role=role.value, disabled_at=since, epoch=user.epoch + 1
        )
        if not changed:
            raise PreconditionFailed


def _maker(by: Actor) -> UUID | None:
    return None if isinstance(by, str) else by.user_id


def _wanted(user: User, changes: UserChanges) -> tuple[Role, bool]:
    disabled = user.disabled_at is not None if changes.disabled is None else changes.disabled
    return changes.role or user.role, disabled


def _ends_an_administrator(user: User, role: Role, *, disabled: bool) -> bool:
    was = user.role is Role.ADMIN and user.disabled_at is None
    return was and (disabled or role is not Role.ADMIN)


def _updated(actor: str, user: User, role: Role, origin: Origin, ended: Counts, *, disabled: bool) -> Event:
    details: dict[str, Detail] = {
        "role_before": user.role.value,
        "role_after": role.value,
        "disabled_before": user.disabled_at is not None,
        "disabled_after": disabled,
        **ended,
    }
    return Event(EventKind.USER_UPDATED, actor, str(user.id), origin, details)
