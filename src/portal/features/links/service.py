"""The link services, built once per process from the resources and the services of identity and files."""

from dataclasses import dataclass

from portal.core.principal import Role
from portal.features.files.service import Files
from portal.features.identity.service import Identity
from portal.features.links.link_sessions import LinkSessions
from portal.features.links.links import LinkService
from portal.features.links.shared_access import SharedAccess
from portal.resources import Resources


@dataclass(frozen=True, slots=True)
class Links:
    """The link services of one portal."""

    links: LinkService
    sessions: LinkSessions
    shared_access: SharedAccess


def build(resources: Resources, identity: Identity, files: Files, roles: frozenset[Role]) -> Links:
    """Build the services over one set of resources. `roles`: the account roles that may create links."""
    database = resources.database
    return Links(
        links=LinkService(database, identity.hasher, identity.authenticators, roles),
        sessions=LinkSessions(database, identity.hasher),
        shared_access=SharedAccess(database, files.catalog),
    )
