"""What the files routes ask for in their signatures."""

from typing import Annotated

from fastapi import Depends, Header, Query, Request

from portal.core.principal import Principal
from portal.features.authz import policy
from portal.features.authz.actions import Action
from portal.features.files.schemas import (
    BreakGlass,
    FileMove,
    FilePatch,
    FormQuery,
    GrantNew,
    GrantQuery,
    ListQuery,
    NothingElse,
    PagedQuery,
    TransferNew,
    UploadQuery,
)
from portal.features.files.service import Files
from portal.features.identity.deps import (
    Administers,
    ChangesFiles,
    MovesFiles,
    RunsAccounts,
    UploadsFiles,
    WithAccount,
    json_of,
)


async def _files(request: Request) -> Files:
    files: Files = request.app.state.files
    return files


async def _hands_in(principal: UploadsFiles) -> Principal:
    policy.require(principal, Action.FILE_CREATE)
    return principal


WithFiles = Annotated[Files, Depends(_files)]
HandsIn = Annotated[Principal, Depends(_hands_in)]
Patch = Annotated[FilePatch, json_of(FilePatch, ChangesFiles)]
MoveBody = Annotated[FileMove, json_of(FileMove, MovesFiles)]
GlassBody = Annotated[BreakGlass, json_of(BreakGlass, Administers)]
GrantBody = Annotated[GrantNew, json_of(GrantNew, WithAccount)]
TransferBody = Annotated[TransferNew, json_of(TransferNew, RunsAccounts)]
Listing = Annotated[ListQuery, Query()]
Paged = Annotated[PagedQuery, Query()]
GrantListing = Annotated[GrantQuery, Query()]
NoQuery = Annotated[NothingElse, Query()]
FormSaid = Annotated[FormQuery, Query()]
Upload = Annotated[UploadQuery, Query()]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[\x21-\x7e]{1,200}$",
        description="Send the same key when you send the same file again: it will be there once. Kept for 24 hours.",
    ),
]
