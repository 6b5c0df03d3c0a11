"""The dependencies in the signatures of the files routes: principals, bodies, queries, headers."""

from functools import partial
from typing import Annotated

from fastapi import Header, Query

from portal.core.principal import Permission, Principal
from portal.features.authz import policy
from portal.features.authz.actions import Action
from portal.features.files.http.schemas import (
    BreakGlassCreate,
    EmptyQuery,
    FileMoveRequest,
    FileQuery,
    FileUpdate,
    FormQuery,
    GrantCreate,
    GrantQuery,
    TransferCreate,
    UploadQuery,
)
from portal.features.files.service import Files
from portal.features.identity.deps import caller, json_of
from portal.web.pages import PageQuery
from portal.web.portal_state import of_portal

FilesDep = Annotated[Files, of_portal("files")]
CanUpload = Annotated[
    Principal, caller(Permission.FILES_UPLOAD, checks=[partial(policy.require, action=Action.FILE_CREATE)])
]
Patch = Annotated[FileUpdate, json_of(FileUpdate)]
MoveBody = Annotated[FileMoveRequest, json_of(FileMoveRequest)]
GlassBody = Annotated[BreakGlassCreate, json_of(BreakGlassCreate)]
GrantBody = Annotated[GrantCreate, json_of(GrantCreate)]
TransferBody = Annotated[TransferCreate, json_of(TransferCreate)]
Listing = Annotated[FileQuery, Query()]
Paged = Annotated[PageQuery, Query()]
GrantListing = Annotated[GrantQuery, Query()]
EmptyQueryDep = Annotated[EmptyQuery, Query()]
FormSaid = Annotated[FormQuery, Query()]
Upload = Annotated[UploadQuery, Query()]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[\x21-\x7e]{1,200}$",
        description="A retry with the same key and the same file stores it only once. Remembered for 24 hours.",
    ),
]
