"""Transfers at once: each one holds memory while it lasts, so a caller has so many, and so has a worker.

Comes in: the caller whose transfer begins. Leaves: a place until it ends, or a refusal that says when to ask again.
Nobody has more than are still free, so that a few who take all they can leave places for everybody else; the links of
one account count together, and may have twice as many. What is so small that it holds next to nothing needs no place.
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
    """Of one process, on its event loop: `each` of an account, or of a link, and `most` of all together."""

    def __init__(self, each: int, most: int) -> None:
        self._each, self._most = each, most
        self._of: Counter[UUID] = Counter()
        self._by_links_of: Counter[UUID] = Counter()

    def require(self, principal: Principal) -> None:
        """That there is a place. Raises TooManyTransfers, WorkerBusy."""
        mine, free = self._of[_caller(principal)], self._most - self._of.total()
        if mine >= self._each:
            raise TooManyTransfers
        by_links = self._by_links_of[principal.user_id] if principal.kind is CredentialKind.LINK else 0
        if mine >= free or by_links >= 2 * free:
            raise WorkerBusy

    @contextmanager
    def place(self, principal: Principal) -> Iterator[None]:
        """A place, while a transfer lasts. Raises TooManyTransfers, WorkerBusy."""
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
"""For who counts elsewhere."""


def _caller(principal: Principal) -> UUID:
    """An account, however it is signed in; of a link, whose visitors nobody knows, the link."""
    return principal.credential_id if principal.kind is CredentialKind.LINK else principal.user_id
