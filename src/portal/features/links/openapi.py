"""OpenAPI additions for the shared routes, beyond their signatures: their errors, and the upload form."""

from portal.core.errors import PortalError
from portal.features.files.http import openapi
from portal.features.links.views import KindRefused, LinkUsedUp

CONTENT, DOWNLOAD = openapi.CONTENT, openapi.DOWNLOAD
UPLOAD: list[type[PortalError]] = [*openapi.UPLOAD, LinkUsedUp, KindRefused]
FORM_BODY = openapi.FORM_BODY
