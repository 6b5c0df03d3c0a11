"""OpenAPI additions for the shared routes, beyond their signatures: their errors, and the upload form."""

from portal.core import errors
from portal.core.errors import PortalError
from portal.features.authz.policy import CaseReadOnly
from portal.features.files.http import openapi
from portal.features.files.transfers import TooManyTransfers, WorkerBusy
from portal.features.files.uploads.attempt import DigestMismatch, KeyReused, UploadGone
from portal.features.files.uploads.decision import ContentRejected
from portal.features.files.uploads.intake import InFlight
from portal.features.files.uploads.lease import UploadLost
from portal.features.links.views import KindRefused, LinkUsedUp
from portal.web.errors import TooSlow, UnsupportedMediaType

CONTENT, DOWNLOAD = openapi.CONTENT, openapi.DOWNLOAD
UPLOAD: list[type[PortalError]] = [
    errors.InvalidInput,
    UnsupportedMediaType,
    DigestMismatch,
    errors.NotSignedIn,
    errors.InsufficientScope,
    errors.Forbidden,
    errors.NotFound,
    TooSlow,
    CaseReadOnly,
    LinkUsedUp,
    InFlight,
    KeyReused,
    UploadGone,
    errors.TooLarge,
    errors.Unprocessable,
    ContentRejected,
    KindRefused,
    errors.Unavailable,
    UploadLost,
    WorkerBusy,
    TooManyTransfers,
    errors.StorageFull,
]
FORM_BODY = openapi.FORM_BODY
