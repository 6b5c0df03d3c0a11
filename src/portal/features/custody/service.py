"""Custody for administrators and the command line: have a case shredded, see how far that is, read a receipt.

Comes in: a principal, or the actor of the command line. Leaves: jobs and receipts. Next: `shredding`.
"""

from dataclasses import dataclass
from uuid import UUID

from portal.core import clock
from portal.core.errors import NotFound, Unprocessable
from portal.core.principal import Origin
from portal.db.unit_of_work import Database
from portal.features.admin.acting import actor_of, require
from portal.features.authz.actions import Action
from portal.features.cases import relations
from portal.features.custody import repository
from portal.features.custody.shredding import Shredder, job_of, shreddable
from portal.features.custody.views import Receipt, ShredderNames, Shredding
from portal.features.identity.accounts import Actor
from portal.features.identity.authenticators import Authenticators
from portal.features.jobs.views import Job
from portal.features.signing.keys import SigningKeys
from portal.resources import Resources


class NumberMismatch(Unprocessable):
    code, title = "case_number_mismatch", "That is not the case's number; nothing was done."


@dataclass(frozen=True, slots=True)
class Custody:
    """The service for administrators and the command line."""

    database: Database
    shredder: Shredder
    authenticators: Authenticators

    async def shred(self, by: Actor, case_id: UUID, number: str, origin: Origin) -> Job:
        """Destroy the keys of a case now, and all else of its content by the job. `number` is the case's, so that
        nobody shreds another by mistake. While it runs, a second call returns the same job.

        Raises Forbidden, NotSignedIn, NotFound, NumberMismatch, CaseStillOpen, CaseShredded.
        """
        require(by, Action.CASE_SHRED)
        async with self.database.write() as connection:
            actor = await actor_of(connection, self.authenticators, by, Action.CASE_SHRED)
            await relations.lock_case(connection, case_id, exclusive=True)
            begun = await repository.find(connection, case_id)
            if begun is not None and begun.receipt_id is None:
                return await job_of(connection, begun)
            if (await shreddable(connection, case_id)).number != number:
                raise NumberMismatch
            return await self.shredder.begin(connection, case_id, ShredderNames(actor, clock.now()), origin)

    async def shredding(self, by: Actor, case_id: UUID) -> Shredding:
        """How far the shredding of a case is. Raises Forbidden, NotFound."""
        require(by, Action.CASE_SHRED)
        async with self.database.read() as connection:
            found = await repository.find(connection, case_id)
        if found is None:
            raise NotFound
        return found

    async def receipt(self, by: Actor, receipt_id: UUID) -> Receipt:
        """Raises Forbidden, NotFound."""
        require(by, Action.CASE_SHRED)
        async with self.database.read() as connection:
            found = await repository.find_receipt(connection, receipt_id)
        if found is None:
            raise NotFound
        return found


def build(resources: Resources, authenticators: Authenticators, signing: SigningKeys) -> Custody:
    """Build the service on one set of resources."""
    shredder = Shredder(resources.database, resources.strongbox, resources.keyring, signing)
    return Custody(resources.database, shredder, authenticators)
