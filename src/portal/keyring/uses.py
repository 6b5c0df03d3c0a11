"""How often each data key was used to seal a file, in this process.

Comes in: each use. Leaves: the number to add to a key's row, now and then. Next: `keyring` writes it.
"""

from uuid import UUID

USES_PER_WRITE = 100  # uses are added to a key's row in hundreds, so that an upload costs no write of its own
_ENTRIES = 1_000


class Uses:
    """The uses of keys that their rows do not count yet. Those of the oldest keys are forgotten if there are many."""

    def __init__(self) -> None:
        self._counts: dict[UUID, int] = {}

    def of(self, key_id: UUID) -> int:
        return self._counts.get(key_id, 0)

    def add(self, key_id: UUID) -> None:
        self._counts[key_id] = self.of(key_id) + 1
        if len(self._counts) > _ENTRIES:
            del self._counts[next(iter(self._counts))]

    def take(self, key_id: UUID) -> int:
        """The uses to write now: none while there are few."""
        return self._counts.pop(key_id) if self.of(key_id) >= USES_PER_WRITE else 0
