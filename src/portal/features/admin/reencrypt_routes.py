"""New keys for files over HTTP, for administrators."""

from typing import Annotated

from portal.core import errors
from portal.core.rates import RouteClass
from portal.features.admin.jobs_schemas import JobOut
from portal.features.admin.keys import KeyNeeded
from portal.features.admin.keys_routes import RunsKeys
from portal.features.admin.reencrypt_schemas import FileReencryptOut, FileReencryptRequest
from portal.features.admin.reencryption import FileKeys
from portal.features.identity.deps import ADMIN_ERRORS, RequestOrigin, json_of
from portal.web import routing
from portal.web.errors import BODY_ERRORS, documented
from portal.web.limits import rated
from portal.web.portal_state import of_portal

router = routing.router("administration")

_Asked = Annotated[FileReencryptRequest, json_of(FileReencryptRequest)]
_FileKeys = Annotated[FileKeys, of_portal("file_keys")]
_ERRORS = [*BODY_ERRORS, *ADMIN_ERRORS, errors.NotFound, errors.Conflict, KeyNeeded]


@router.post(
    "/admin/keys/reencrypt",
    summary="Give files new keys",
    response_description="How many files that are, and the job that does it.",
    responses=documented(*_ERRORS),
)
@rated(RouteClass.CHANGE)
async def reencrypt_files(
    principal: RunsKeys, asked: _Asked, file_keys: _FileKeys, origin: RequestOrigin
) -> FileReencryptOut:
    """A job copies each of these files into a new blob under a new file key; the file stays readable throughout. If a
    job of the same selection waits or runs already, it is that one.
    """
    found = await file_keys.reencrypt(principal, asked.wanted, origin, dry_run=asked.dry_run)
    job = None if found.job is None else JobOut.of(found.job)
    return FileReencryptOut(files=found.files, bytes=found.bytes, job=job)
