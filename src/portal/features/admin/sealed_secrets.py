"""Everything in the database that is sealed under PORTAL_SECRET_KEY: authenticators' secrets, and the key that signs.

Comes in: the parts that seal. Leaves: how much is not under the newest key; the same, sealed anew. A part that begins
to seal under PORTAL_SECRET_KEY is added here. Next: `keys` counts, `key_jobs` reseals.
"""

from collections.abc import Sequence

from portal.core.secrets import Secret, purpose_keys
from portal.db.connection import Connection
from portal.db.unit_of_work import Database
from portal.features.admin.key_views import SealedCount
from portal.features.identity.factors import Factors
from portal.features.signing.keys import SigningKeys

_PAGE = 100


class SealedSecrets:
    """The sealed secrets of one portal. `key_id` names its newest PORTAL_SECRET_KEY, and reveals nothing of it."""

    def __init__(self, database: Database, secret_keys: Sequence[Secret], signing: SigningKeys) -> None:
        self._database, self._factors, self._signing = database, Factors(secret_keys), signing
        self.key_id = purpose_keys(secret_keys, "reseal")[0].kid

    async def count_outdated(self, connection: Connection) -> SealedCount:
        """How many are not sealed under the newest key."""
        return SealedCount(
            authenticators=await self._factors.count_outdated(connection),
            signing_keys=await self._signing.count_outdated(connection),
        )

    async def reseal(self) -> int:
        """Seal each under the newest key, a page in a transaction. Returns how many were sealed anew.

        One that no configured key opens stays as it is. A second run, or one after an interruption, does what is left.
        """
        async with self._database.write() as connection:
            resealed, after = await self._signing.reseal(connection), None
        while True:
            async with self._database.write() as connection:
                done, after = await self._factors.reseal_page(connection, after, _PAGE)
            resealed += done
            if after is None:
                return resealed
