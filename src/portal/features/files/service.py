"""The services of the files feature, built once in each process.

Comes in: resources, identity and audit. Leaves: the services that the routes and the command line use.
"""

from dataclasses import dataclass

from portal.features.audit.service import Audit
from portal.features.files.catalog import FileCatalog
from portal.features.files.downloads.delivery import Deliveries
from portal.features.files.inboxes import Inboxes
from portal.features.files.maintenance import Maintenance
from portal.features.files.move import FileMover
from portal.features.files.rights.break_glass import BreakGlass
from portal.features.files.rights.grants import Grants
from portal.features.files.transfers import Transfers
from portal.features.files.uploads.decision import ContentPolicy
from portal.features.files.uploads.intake import Intake
from portal.features.identity.service import Identity
from portal.resources import Resources


@dataclass(frozen=True, slots=True)
class Files:
    """All services of the files feature."""

    intake: Intake
    deliveries: Deliveries
    catalog: FileCatalog
    mover: FileMover
    break_glass: BreakGlass
    grants: Grants
    inboxes: Inboxes
    maintenance: Maintenance


def build(resources: Resources, identity: Identity, audit: Audit) -> Files:
    """Build the services over one set of resources."""
    database, strongbox = resources.database, resources.strongbox
    transfers = Transfers(resources.transfers_per_caller, resources.transfers)
    return Files(
        intake=Intake(
            database,
            strongbox,
            identity.authenticators,
            audit.recorder,
            transfers,
            max_bytes=resources.max_upload_bytes,
            row_bytes=resources.row_bytes,
            content_policy=ContentPolicy(scan_required=resources.scan_required),
        ),
        deliveries=Deliveries(database, strongbox, identity.authenticators, audit.recorder, transfers),
        catalog=FileCatalog(database, strongbox, grace=resources.delete_grace),
        mover=FileMover(database, strongbox),
        break_glass=BreakGlass(database),
        grants=Grants(database, identity.authenticators),
        inboxes=Inboxes(database, identity.authenticators),
        maintenance=Maintenance(database, strongbox),
    )
