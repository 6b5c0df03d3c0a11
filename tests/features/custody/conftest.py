"""Shredding over the files services of `tests/features/files`: a house, a case with files, and a job that is run."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from portal.core.principal import Principal, Role
from portal.core.secrets import Secret
from portal.features.admin.keys import Keys
from portal.features.admin.sealed_secrets import SealedSecrets
from portal.features.authz.relation import CaseStatus
from portal.features.cases.catalog import CaseChanges
from portal.features.cases.views import CaseView
from portal.features.custody import repository
from portal.features.custody.service import Custody
from portal.features.custody.shredding import ATTEMPTS, SHRED, Shredder
from portal.features.jobs import execution, queue
from portal.features.jobs.kinds import JobKind, RetryDelay
from portal.features.jobs.views import Job
from portal.features.signing.documents import verified
from portal.features.signing.keys import SigningKeys
from tests.features.files.conftest import ORIGIN, House, house, quiet

__all__ = ["house", "quiet"]


@dataclass
class Vault:
    """A house, and what shreds its cases."""

    house: House
    custody: Custody
    admin: Principal
    lead: Principal

    async def case(self, status: CaseStatus = CaseStatus.CLOSED, files: int = 2) -> CaseView:
        """A case with files, in that status."""
        case = await self.house.open_case(self.lead)
        for number in range(files):
            await self.house.hand_in(self.lead, f"content {number}".encode() * 60, case_id=case.id)
        return case if status is CaseStatus.OPEN else await self.close(case)

    async def close(self, case: CaseView) -> CaseView:
        changes = CaseChanges(status=CaseStatus.CLOSED)
        return await self.house.cases.register.update(self.lead, case.id, None, changes, ORIGIN)

    async def shred(self, case: CaseView) -> Job:
        job = await self.custody.shred(self.admin, case.id, case.number, ORIGIN)
        assert isinstance(job, Job)
        return job

    async def work(self) -> None:
        """Run the next attempt of the job, as a worker does."""
        kind = JobKind(SHRED, self.custody.shredder.run, max_attempts=ATTEMPTS, retry_delay=RetryDelay(timedelta(0)))
        claimed = await queue.claim(self.house.database, kind, "here")
        assert claimed is not None
        await execution.execute(self.house.database, kind, claimed, asyncio.Event())

    async def receipt(self, case: CaseView) -> dict[str, Any]:
        """What the receipt of the case says, as verified with the published keys."""
        found = await self.custody.shredding(self.admin, case.id)
        assert found.receipt_id is not None
        receipt = await self.custody.receipt(self.admin, found.receipt_id)
        trusted = {key.id: key.public for key in await self.custody.shredder.signing.everyone()}
        document = verified(receipt.document.encode(), trusted)
        assert document.type == receipt.type == "case-shredded"
        return document.payload

    async def has_receipt(self, case_id: UUID) -> bool:
        async with self.house.database.read() as connection:
            found = await repository.find(connection, case_id)
        return found is not None and found.receipt_id is not None


@pytest.fixture
async def vault(house: House) -> Vault:
    keyring = house.strongbox._keyring
    secret_keys, authenticators = [Secret(b"s" * 32)], house.identity.authenticators
    shredder = Shredder(house.database, house.strongbox, keyring, SigningKeys(house.database, secret_keys))
    sealed = SealedSecrets(house.database, secret_keys, shredder.signing)
    keys = Keys(house.database, keyring, sealed, authenticators)
    custody = Custody(house.database, shredder, keys, authenticators, frozenset())
    return Vault(house, custody, await house.principal(Role.ADMIN), await house.principal())
