"""Who calls: every kind of credential, behind one door.

Comes in: the text of a credential, or a principal whose credential was good a moment ago. Leaves: the principal as of
now. A feature that has a kind of its own adds it where the portal is put together (`bootstrap`).
"""

from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from portal.core.errors import NotSignedIn
from portal.core.principal import CredentialKind, Origin, Principal
from portal.features.identity import repository


class Authenticator(Protocol):
    """One kind of credential."""

    def claims(self, credential: str) -> bool:
        """Whether the text is of this kind, by its form alone."""

    async def resolve(self, credential: str, origin: Origin) -> Principal:
        """Whom it stands for. Raises NotSignedIn."""

    async def again(self, connection: AsyncConnection, principal: Principal) -> Principal:
        """The same principal as of now, inside the caller's transaction. Raises NotSignedIn."""


class Authenticators:
    """Safe for concurrent use. The kind that was added last is asked first."""

    def __init__(self) -> None:
        self._kinds: dict[CredentialKind, Authenticator] = {}

    def add(self, kind: CredentialKind, credentials: Authenticator) -> None:
        self._kinds = {kind: credentials, **self._kinds}

    async def resolve(self, credential: str, origin: Origin) -> Principal:
        """Raises NotSignedIn for what no kind takes."""
        for credentials in self._kinds.values():
            if credentials.claims(credential):
                return await credentials.resolve(credential, origin)
        raise NotSignedIn

    async def again(self, connection: AsyncConnection, principal: Principal) -> Principal:
        """Raises NotSignedIn where the credential is not good any more."""
        return await self._kinds[principal.kind].again(connection, principal)

    async def held(self, connection: AsyncConnection, principal: Principal) -> Principal:
        """The same, and nobody ends it until the transaction does: for what the account is to hold from here on."""
        await repository.hold_user(connection, principal.user_id)
        return await self.again(connection, principal)
