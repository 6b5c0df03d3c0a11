"""The case services, built once per process from the resources. Used by `deps` and other features."""

from dataclasses import dataclass

from portal.features.cases.catalog import CaseCatalog
from portal.features.cases.members import Members
from portal.features.identity.revocation import Revocations
from portal.resources import Resources


@dataclass(frozen=True, slots=True)
class Cases:
    """The case services of one portal."""

    register: CaseCatalog
    members: Members


def build(resources: Resources, revocations: Revocations) -> Cases:
    """Build the services over one set of resources."""
    database = resources.database
    return Cases(CaseCatalog(database), Members(database, revocations))
