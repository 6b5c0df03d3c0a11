"""What the files routes ask for in their signatures."""

from typing import Annotated

from fastapi import Depends, Header, Query, Request

from portal.core.principal import Action, Principal
from portal.features.authz import policy
from portal.features.files.schemas import BreakGlass, FileMove, FilePatch, GrantNew, ListQuery, NothingElse, UploadQuery
from portal.features.files.service import Files
from portal.features.identity.deps import Administers, ChangesFiles, UploadsFiles
from portal.web.bodies import json_body


async def _files(request: Request) -> Files:
    files: Files = request.app.state.files
    return files


async def _hands_in(principal: UploadsFiles) -> Principal:
    policy.require(principal, Action.FILE_CREATE)
    return principal


async def _patch(request: Request, _: ChangesFiles) -> FilePatch:
    return await json_body(request, FilePatch)


async def _move(request: Request, _: ChangesFiles) -> FileMove:
    return await json_body(request, FileMove)


async def _glass(request: Request, _: Administers) -> BreakGlass:
    return await json_body(request, BreakGlass)


async def _grant(request: Request, _: ChangesFiles) -> GrantNew:
    return await json_body(request, GrantNew)


WithFiles = Annotated[Files, Depends(_files)]
HandsIn = Annotated[Principal, Depends(_hands_in)]
Patch = Annotated[FilePatch, Depends(_patch)]
MoveBody = Annotated[FileMove, Depends(_move)]
GlassBody = Annotated[BreakGlass, Depends(_glass)]
GrantBody = Annotated[GrantNew, Depends(_grant)]
Listing = Annotated[ListQuery, Query()]
NoQuery = Annotated[NothingElse, Query()]
Upload = Annotated[UploadQuery, Query()]
IdempotencyKey = Annotated[
    str | None,
    Header(
        pattern=r"^[\x21-\x7e]{1,200}$",
        description="Send the same key when you send the same file again: it will be there once. Kept for 24 hours.",
    ),
]
