"""What the files routes ask for in their signatures."""

from typing import Annotated

from fastapi import Depends, Header, Query, Request

from portal.core.principal import Action, Principal
from portal.features.authz import policy
from portal.features.files.schemas import FilePatch, ListQuery, NothingElse, UploadQuery
from portal.features.files.service import Files
from portal.features.identity.deps import ChangesFiles, UploadsFiles
from portal.web.bodies import json_body
from portal.web.conditions import expected_version


async def _files(request: Request) -> Files:
    files: Files = request.app.state.files
    return files


async def _hands_in(principal: UploadsFiles) -> Principal:
    policy.require(principal, Action.FILE_CREATE)
    return principal


async def _patch(request: Request, _: ChangesFiles) -> FilePatch:
    return await json_body(request, FilePatch)


async def _version(
    _: ChangesFiles,
    if_match: Annotated[str | None, Header(description='The ETag that was read, or `*`. Example: `"1"`')] = None,
) -> int | None:
    return expected_version(if_match)


WithFiles = Annotated[Files, Depends(_files)]
IfMatch = Annotated[int | None, Depends(_version)]
HandsIn = Annotated[Principal, Depends(_hands_in)]
Patch = Annotated[FilePatch, Depends(_patch)]
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
