"""The cases services, built once a process. Comes in: resources. Leaves: what deps and other features are handed."""

from dataclasses import dataclass

from portal.core.cursor import Cursors
from portal.features.cases.catalog import CaseCatalog
from portal.features.cases.members import Members
from portal.features.identity.revocation import Revocations
from portal.resources import Resources


@dataclass(frozen=True, slots=True)
class Cases:
    """Everything that can be done with cases."""

    register: CaseCatalog
    members: Members
    cursors: Cursors


def build(resources: Resources, revocations: Revocations) -> Cases:
    """The services over one set of resources."""
    database = resources.database
    return Cases(CaseCatalog(database), Members(database, revocations), Cursors(resources.secret_keys))
