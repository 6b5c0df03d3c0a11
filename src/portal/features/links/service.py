"""The links services, built once a process. Comes in: resources, identity, files. Leaves: what deps use."""

from dataclasses import dataclass

from portal.core.cursor import Cursors
from portal.core.principal import Role
from portal.features.files.service import Files
from portal.features.identity.service import Identity
from portal.features.links.link_sessions import LinkSessions
from portal.features.links.links import LinkService
from portal.features.links.shared_access import SharedAccess
from portal.resources import Resources


@dataclass(frozen=True, slots=True)
class Links:
    """Everything that can be done with links."""

    links: LinkService
    sessions: LinkSessions
    shared_access: SharedAccess
    cursors: Cursors


def build(resources: Resources, identity: Identity, files: Files, roles: frozenset[Role]) -> Links:
    """The services over one set of resources."""
    database = resources.database
    return Links(
        links=LinkService(database, identity.hasher, identity.authenticators, roles),
        sessions=LinkSessions(database, identity.hasher),
        shared_access=SharedAccess(database, files.catalog),
        cursors=Cursors(resources.secret_keys),
    )
