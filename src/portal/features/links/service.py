"""The links services, built once a process. Comes in: resources, identity, files. Leaves: what deps use."""

from dataclasses import dataclass

from portal.core.cursor import Cursors
from portal.core.principal import Role
from portal.features.files.service import Files
from portal.features.identity.service import Identity
from portal.features.links.making import Making
from portal.features.links.sharing import Sharing
from portal.features.links.visits import Visits
from portal.resources import Resources


@dataclass(frozen=True, slots=True)
class Links:
    """Everything that can be done with links."""

    making: Making
    visits: Visits
    sharing: Sharing
    cursors: Cursors


def build(resources: Resources, identity: Identity, files: Files, roles: frozenset[Role]) -> Links:
    """The services over one set of resources."""
    database = resources.database
    return Links(
        making=Making(database, identity.hasher, identity.callers, roles),
        visits=Visits(database, identity.hasher),
        sharing=Sharing(database, files.catalog),
        cursors=Cursors(resources.secret_keys),
    )
