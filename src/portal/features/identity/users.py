"""Accounts: making them and naming them. Comes in: the operator's wish. Leaves: a user, on record."""

import unicodedata
from uuid import UUID

from portal.core import clock
from portal.core.errors import Conflict, NotFound, Unprocessable
from portal.core.ids import new_id
from portal.core.letters import is_unseen
from portal.core.principal import Role
from portal.db.unit_of_work import Database
from portal.features.audit import record
from portal.features.audit.events import Event, EventKind
from portal.features.identity import repository
from portal.features.identity.passwords import PasswordHasher
from portal.features.identity.repository import User

_MAX_NAME = 64
_MAX_KEY = 256  # characters: some letters are eighteen where names are compared


class UserTaken(Conflict):
    code, title = "user_taken", "There is already a user of that name."


def name_key(name: str) -> str:
    """The name as names are compared: NFKC, case folded. Two users never share one."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def is_name(text: str) -> bool:
    """Whether a user could be called that."""
    if not 0 < len(text) <= _MAX_NAME or any(is_unseen(c) or unicodedata.category(c) == "Zs" for c in text):
        return False
    return 0 < len(name_key(text)) <= _MAX_KEY


class Users:
    """The accounts of one portal."""

    def __init__(self, database: Database, hasher: PasswordHasher) -> None:
        self._database = database
        self._hasher = hasher

    async def create(self, name: str, role: Role, password: str, *, actor: str) -> User:
        """Raises Unprocessable for a name or password that will not do, UserTaken."""
        if not is_name(name):
            raise Unprocessable(f"A user name has 1 to {_MAX_NAME} characters and no spaces or invisible ones.")
        user = User(
            id=new_id(),
            name=name,
            name_key=name_key(name),
            password_hash=await self._hasher.hash(password),
            role=role,
            epoch=1,
            created_at=clock.now(),
        )
        async with self._database.write() as connection:
            if not await repository.add_user(connection, user):
                raise UserTaken
            details = {"name": user.name, "role": user.role.value}
            await record.write(connection, Event(EventKind.USER_CREATED, actor, str(user.id), details=dict(details)))
        return user

    async def get(self, user_id: UUID) -> User:
        """Raises NotFound."""
        async with self._database.read() as connection:
            user = await repository.user_by_id(connection, user_id)
        if user is None:
            raise NotFound
        return user

    async def exist(self) -> bool:
        """Whether there is any account yet."""
        async with self._database.read() as connection:
            return await repository.any_user(connection)
