"""The limits on concurrent transfers, of each caller and of the worker. A transfer uses memory while it runs.

Comes in: the caller whose transfer begins. Leaves: a place until the transfer ends, or a refusal with a Retry-After.

A caller cannot have more places than are still free, so that a few greedy callers leave places for all others. The
links of one account are also counted together, and may have twice as many as are free. Example: of 100 places a single
caller gets at most 50; then 50 are free. Transfers of at most SMALL bytes need no place.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from portal.core.errors import PortalError, Unavailable
from portal.core.principal import CredentialKind, Principal

SMALL = 1 << 16  # bytes


class TooManyTransfers(PortalError):
    status, code, title = 429, "too_many_transfers", "This caller has as many transfers under way as it may."
    retry_after = 5


class WorkerBusy(Unavailable):
    code, title = "worker_busy", "As many transfers are under way here as may be; try again."


class Transfers:
    """The places of one process: `each` for an account or a link, `most` for all together. For one event loop."""

    def __init__(self, each: int, most: int) -> None:
        self._each, self._most = each, most
        self._of: Counter[UUID] = Counter()
        self._by_links_of: Counter[UUID] = Counter()

    def require(self, principal: Principal) -> None:
        """Check that the caller can have a place now, without taking it. Raises TooManyTransfers, WorkerBusy."""
        mine, free = self._of[_caller(principal)], self._most - self._of.total()
        if mine >= self._each:
            raise TooManyTransfers
        by_links = self._by_links_of[principal.user_id] if principal.kind is CredentialKind.LINK else 0
        if mine >= free or by_links >= 2 * free:
            raise WorkerBusy

    @contextmanager
    def place(self, principal: Principal) -> Iterator[None]:
        """Hold a place while the transfer runs. Raises TooManyTransfers, WorkerBusy."""
        self.require(principal)
        counted = [(self._of, _caller(principal))]
        if principal.kind is CredentialKind.LINK:
            counted.append((self._by_links_of, principal.user_id))
        for counts, who in counted:
            counts[who] += 1
        try:
            yield
        finally:
            for counts, who in counted:
                counts[who] -= 1
                if not counts[who]:
                    del counts[who]


UNBOUNDED = Transfers(1 << 30, 1 << 30)
"""No limit, for services whose callers count the transfers elsewhere."""


def _caller(principal: Principal) -> UUID:
    """The id to count by: the account for a session or an API token, the link for its anonymous users."""
    return principal.credential_id if principal.kind is CredentialKind.LINK else principal.user_id
