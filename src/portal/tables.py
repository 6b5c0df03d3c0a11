"""Every table of the portal, for migrations: importing this module fills `metadata`."""

from sqlmodel import SQLModel

from portal.features.audit import models as audit
from portal.features.backups import models as backups
from portal.features.cases import models as cases
from portal.features.custody import models as custody
from portal.features.files import models as files
from portal.features.identity import models as identity
from portal.features.jobs import models as jobs
from portal.features.links import models as links
from portal.features.signing import models as signing
from portal.features.tokens import models as tokens
from portal.keyring import models as keyring
from portal.stores import models as stores

__all__ = [
    "audit",
    "backups",
    "cases",
    "custody",
    "files",
    "identity",
    "jobs",
    "keyring",
    "links",
    "metadata",
    "signing",
    "stores",
    "tokens",
]

metadata = SQLModel.metadata
