"""The registry of authenticators, one for each kind of credential.

Comes in: the text of a credential, or a principal whose credential was valid a moment ago. Leaves: the principal as of
now. A feature with its own kind of credential registers it in `bootstrap`.
"""

from typing import Protocol

from portal.core.errors import NotSignedIn
from portal.core.principal import CredentialKind, Origin, Principal
from portal.db.connection import Connection
from portal.features.identity import repository


class Authenticator(Protocol):
    """Authenticates one kind of credential. Implementations are safe for concurrent use."""

    def claims(self, credential: str) -> bool:
        """Whether the text has the form of this kind. Does no I/O and does not check validity."""

    async def resolve(self, credential: str, origin: Origin) -> Principal:
        """The principal of a valid credential. Raises NotSignedIn, TotpEnrolmentRequired."""

    async def reauthenticate(self, connection: Connection, principal: Principal) -> Principal:
        """The same principal as of now, read in the caller's transaction.

        For work that began while the credential was valid: it may have expired since, but must not be revoked.
        Raises NotSignedIn, TotpEnrolmentRequired.
        """


class Authenticators:
    """All kinds of credential. The kind that was added last is tried first. Safe for concurrent use."""

    def __init__(self) -> None:
        self._kinds: dict[CredentialKind, Authenticator] = {}

    def add(self, kind: CredentialKind, credentials: Authenticator) -> None:
        self._kinds = {kind: credentials, **self._kinds}

    async def resolve(self, credential: str, origin: Origin) -> Principal:
        """The principal of a credential of any kind. Raises NotSignedIn where it is of no kind or not valid."""
        for credentials in self._kinds.values():
            if credentials.claims(credential):
                return await credentials.resolve(credential, origin)
        raise NotSignedIn

    async def reauthenticate(self, connection: Connection, principal: Principal) -> Principal:
        """The principal as of now. Raises NotSignedIn where the credential was revoked."""
        return await self._kinds[principal.kind].reauthenticate(connection, principal)

    async def held(self, connection: Connection, principal: Principal) -> Principal:
        """As `again`, with the account locked until the transaction ends.

        For an operation that adds something to the account, such as a token. A concurrent `end_everything` either
        commits first, so that this raises NotSignedIn, or waits and ends the addition too.
        """
        await repository.hold_user(connection, principal.user_id)
        return await self.reauthenticate(connection, principal)
