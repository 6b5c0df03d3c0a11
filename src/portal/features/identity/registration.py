"""Registration by invitation or openly, and setting a password with a one-time secret.

Comes in: an administrator's request, or a secret that a stranger presents. Leaves: a new one-time secret; or, for a
valid secret, an account or a password. Every invalid secret gets the same refusal, so that a stranger learns nothing.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, NoReturn
from uuid import UUID

from portal.core import clock
from portal.core.errors import Conflict, Forbidden
from portal.core.ids import new_id
from portal.core.principal import Origin, Role
from portal.db.connection import Connection
from portal.db.unit_of_work import Database
from portal.features.audit import record
from portal.features.audit.events import Event, EventKind
from portal.features.identity import invitation_rows, repository, throttle_rows, users
from portal.features.identity.hashing_queue import QueueShare
from portal.features.identity.invitation_rows import Invitation
from portal.features.identity.one_time_secrets import digest, new_secret
from portal.features.identity.passwords import PasswordHasher
from portal.features.identity.repository import User
from portal.features.identity.revocation import Revocations

RegistrationMode = Literal["closed", "invite", "open"]
PASSWORD_SECRET_LASTS = timedelta(hours=24)
STRANGER = "nobody"


class RegistrationClosed(Forbidden):
    code, title = "registration_closed", "Nobody can register here; ask an administrator for an account."


class InvitationRefused(Forbidden):
    code, title = "invitation_refused", "That secret is not good (any more); ask an administrator for another."


@dataclass(frozen=True, slots=True)
class OneTime:
    """A secret that is shown once."""

    secret: str = field(repr=False)
    expires_at: datetime


class Registration:
    """Registration and password setting of one portal. Safe for concurrent use."""

    def __init__(
        self, database: Database, hasher: PasswordHasher, policy: RegistrationMode, revocations: Revocations
    ) -> None:
        self._database = database
        self._revocations = revocations
        self._hasher = hasher
        self._policy = policy

    async def register(self, name: str, password: str, secret: str | None, origin: Origin) -> User:
        """Create an account. Its role is the invitation's; without an invitation, in mode "open", the least one.

        Raises RegistrationClosed, InvitationRefused, Unprocessable, UserTaken, Unavailable.
        """
        if self._policy == "closed":
            raise RegistrationClosed
        role = Role.UPLOADER
        if secret is not None or self._policy == "invite":
            role = (await self._good(secret)).role or _refused()
        users.require_name(name)
        user = users.new_user(
            name, role, await self._hasher.hash(password, name=name, share=QueueShare.by_address(origin))
        )
        async with self._database.write() as connection:
            if secret is not None and (await _redeemed(connection, secret)).role is not role:
                raise InvitationRefused
            await users.add(connection, user, STRANGER, origin)
        return user

    async def set_password(self, secret: str, password: str, origin: Origin, *, everything: bool = False) -> None:
        """Set the password of the user that the secret was issued for. All sessions of the user end.

        With `everything`, all that the account gave away ends too.
        Raises InvitationRefused, Unprocessable, Conflict, Unavailable.
        """
        user_id = (await self._good(secret)).user_id or _refused()
        async with self._database.read() as connection:
            name = (await users.found(connection, user_id)).name
        made = await self._hasher.hash(password, name=name, share=QueueShare.by_address(origin))
        async with self._database.write() as connection:
            await _redeemed(connection, secret)
            user = await users.found(connection, user_id)
            if user.disabled_at is not None:
                raise InvitationRefused
            await put_password(connection, user, made)
            if everything:
                await self._revocations.end_everything(connection, user.id, f"user:{user.id}", origin)
            await throttle_rows.forget_addresses(connection, user.id)
            changed = Event(EventKind.PASSWORD_CHANGED, f"user:{user.id}", str(user.id), origin, {"by": "secret"})
            await record.write(connection, changed)

    async def _good(self, secret: str | None) -> Invitation:
        """The invitation of a secret, checked before any hashing. Raises InvitationRefused."""
        async with self._database.read() as connection:
            found = await invitation_rows.find(connection, digest(secret or ""), clock.now())
        return found or _refused()


async def issue(
    connection: Connection,
    *,
    role: Role | None = None,
    user_id: UUID | None = None,
    by: UUID | None,
    lasts: timedelta,
) -> tuple[Invitation, OneTime]:
    """Store a new one-time secret in the caller's transaction.

    A secret for a password (`user_id`) replaces every earlier one of that user.
    """
    if user_id is not None:
        await invitation_rows.forget_of(connection, user_id)
    secret, now = new_secret(), clock.now()
    made = Invitation(new_id(), digest(secret), role, user_id, by, now, now + lasts)
    await invitation_rows.add(connection, made)
    return made, OneTime(secret, made.expires_at)


async def put_password(connection: Connection, user: User, password_hash: str) -> None:
    """Store a password hash in the caller's transaction. The user's sessions and password secrets end.

    Raises Conflict where the account changed since `user` was read.
    """
    if not await repository.change_user(connection, user, password_hash=password_hash, epoch=user.epoch + 1):
        raise Conflict
    await invitation_rows.forget_of(connection, user.id)


async def _redeemed(connection: Connection, secret: str) -> Invitation:
    return await invitation_rows.redeem(connection, digest(secret), clock.now()) or _refused()


def _refused() -> NoReturn:
    raise InvitationRefused
