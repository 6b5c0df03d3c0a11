"""Names beside ids, on both databases: each is asked for once, and none is lost where room is made."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

import pytest

from portal.core.principal import Role
from portal.db.unit_of_work import Database
from portal.features.identity import account_names
from portal.features.identity.account_names import AccountNames
from portal.features.identity.sessions import Sessions
from portal.features.identity.users import Users

from .stage import make, signed_in


@dataclass
class Shown:
    """An answer with one name to fill in."""

    NAMED: ClassVar[Mapping[str, str]] = {"name": "id"}

    id: UUID
    name: str | None = None


async def test_where_room_is_made_no_name_is_lost(
    users: Users, sessions: Sessions, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account_names, "_MOST", 1)
    made = [await make(users, f"user{number}", Role.ANALYST) for number in range(4)]
    asks = await signed_in(sessions, "user0")
    known = AccountNames(database)
    for seen in (made[:2], made[:3], made):
        named = await known.all_named(asks, [Shown(user.id) for user in seen])
        assert [each.name for each in named] == [user.name for user in seen]
