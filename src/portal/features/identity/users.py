"""Create and find accounts. Each new account is in the audit log."""

from uuid import UUID

from portal.core import clock
from portal.core.errors import Conflict, NotFound, Unprocessable
from portal.core.ids import new_id
from portal.core.principal import NOWHERE, Origin, Role
from portal.db.connection import Connection
from portal.db.unit_of_work import Database
from portal.features.audit import record
from portal.features.audit.events import Event, EventKind
from portal.features.identity import repository
from portal.features.identity.names import MAX_NAME, is_name, name_key
from portal.features.identity.passwords import PasswordHasher
from portal.features.identity.repository import User


class UserTaken(Conflict):
    code, title = "user_taken", "There is already a user of that name."


def require_name(name: str) -> None:
    """Raises Unprocessable for a text that is no valid user name."""
    if not is_name(name):
        raise Unprocessable(f"A user name has 1 to {MAX_NAME} characters and no spaces or invisible ones.")


def new_user(name: str, role: Role, password_hash: str) -> User:
    """An account that is not stored yet. Raises Unprocessable for an invalid name."""
    require_name(name)
    return User(
        id=new_id(),
        name=name,
        name_key=name_key(name),
        password_hash=password_hash,
        role=role,
        epoch=1,
        created_at=clock.now(),
    )


async def add(connection: Connection, user: User, actor: str, origin: Origin = NOWHERE) -> None:
    """Store an account and its audit event in the caller's transaction. Raises UserTaken."""
    if not await repository.add_user(connection, user):
        raise UserTaken
    created = Event(EventKind.USER_CREATED, actor, str(user.id), origin, {"name": user.name, "role": user.role.value})
    await record.write(connection, created)


async def found(connection: Connection, user_id: UUID) -> User:
    """The account of that id, read in the caller's transaction. Raises NotFound."""
    user = await repository.user_by_id(connection, user_id)
    if user is None:
        raise NotFound
    return user


class Users:
    """The accounts of one portal."""

    def __init__(self, database: Database, hasher: PasswordHasher) -> None:
        self._database = database
        self._hasher = hasher

    async def create(self, name: str, role: Role, password: str, *, actor: str) -> User:
        """Create an account. Raises Unprocessable for an invalid name or password, UserTaken."""
        require_name(name)
        user = new_user(name, role, await self._hasher.hash(password, name=name))
        async with self._database.write() as connection:
            await add(connection, user, actor)
        return user

    async def get(self, user_id: UUID) -> User:
        """The account of that id. Raises NotFound."""
        async with self._database.read() as connection:
            return await found(connection, user_id)

    async def named(self, name: str) -> User:
        """The account of that name. Raises NotFound."""
        async with self._database.read() as connection:
            user = await repository.user_by_name(connection, name)
        if user is None:
            raise NotFound
        return user

    async def exist(self) -> bool:
        """Whether at least one account exists."""
        async with self._database.read() as connection:
            return await repository.any_user(connection)
