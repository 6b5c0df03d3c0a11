"""The dependencies in the signatures of the files routes: principals, bodies, queries, headers."""

from typing import Annotated

from fastapi import Depends, Header, Query

from portal.core.principal import Principal
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
from portal.features.identity.deps import (
    Administers,
    ChangesFiles,
    MovesFiles,
    ReadsFiles,
    RunsAccounts,
    UploadsFiles,
    WithAccount,
    json_of,
)
from portal.web.pages import PageQuery, Paging, paginated
from portal.web.portal_state import of_portal


async def _hands_in(principal: UploadsFiles) -> Principal:
    policy.require(principal, Action.FILE_CREATE)
    return principal


FilesDep = Annotated[Files, of_portal("files")]
CanUpload = Annotated[Principal, Depends(_hands_in)]
Patch = Annotated[FileUpdate, json_of(FileUpdate, ChangesFiles)]
MoveBody = Annotated[FileMoveRequest, json_of(FileMoveRequest, MovesFiles)]
GlassBody = Annotated[BreakGlassCreate, json_of(BreakGlassCreate, Administers)]
GrantBody = Annotated[GrantCreate, json_of(GrantCreate, WithAccount)]
TransferBody = Annotated[TransferCreate, json_of(TransferCreate, RunsAccounts)]
Listing = Annotated[Paging[FileQuery], paginated(FileQuery, ReadsFiles)]
Paged = Annotated[Paging[PageQuery], paginated(PageQuery, ReadsFiles)]
GrantListing = Annotated[Paging[GrantQuery], paginated(GrantQuery, ReadsFiles)]
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
