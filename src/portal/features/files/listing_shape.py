"""The shape of a listing: what decides its statement. Comes in: a listing's filters. Next: `listing_statements`."""

from dataclasses import dataclass, replace

from portal.features.authz.relation import CaseRole
from portal.features.files.order import FileOrder


@dataclass(frozen=True, slots=True)
class Shape:
    """A listing without its values. `given` names the values; `rare` is the filter that leaves few files.

    `restricted`: to the files that the user sees: as member with one of `roles` or, if `granted`, by a grant.
    """

    dialect: str
    order: FileOrder
    given: frozenset[str]
    restricted: bool
    roles: frozenset[CaseRole]
    granted: bool
    rare: str | None = None

    @property
    def selective(self) -> str | None:
        """The filter that may leave few files although no index of the order holds it; None without one."""
        if "sha256" in self.given:
            return "sha256"
        if {"other_from", "other_to"} & self.given:
            return "other"
        held = self.newest and not self.restricted  # of its own files in a case no index knows the kind
        return "kind" if "kind" in self.given and not held else None

    def without(self, name: str) -> "Shape":
        return replace(self, given=self.given - {name})

    def with_rare(self, rare: str) -> "Shape":
        return replace(self, rare=rare)

    @property
    def newest(self) -> bool:
        return self.order is FileOrder.NEWEST

    @property
    def everywhere(self) -> bool:
        """Whether it is of the files of all places."""
        return not self.restricted and "case_id" not in self.given

    @property
    def by(self) -> str:
        """The column that the order is by, before the id."""
        return "created_at" if self.newest else "available_at"

    @property
    def other(self) -> str:
        """The other time."""
        return "available_at" if self.newest else "created_at"
