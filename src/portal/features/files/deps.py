"""What the files routes ask for in their signatures."""

from typing import Annotated

from fastapi import Depends, Header, Query, Request

from portal.features.files.schemas import ListQuery, UploadQuery
from portal.features.files.service import Files
from portal.web.conditions import expected_version


async def _files(request: Request) -> Files:
    files: Files = request.app.state.files
    return files


async def _version(
    if_match: Annotated[str | None, Header(description='The ETag that was read, or `*`. Example: `"1"`')] = None,
) -> int | None:
    return expected_version(if_match)


WithFiles = Annotated[Files, Depends(_files)]
IfMatch = Annotated[int | None, Depends(_version)]
Listing = Annotated[ListQuery, Query()]
Upload = Annotated[UploadQuery, Query()]
IdempotencyKey = Annotated[
    str | None,
    Header(
        pattern=r"^[\x21-\x7e]{1,200}$",
        description="Send the same key when you send the same file again: it will be there once. Kept for 24 hours.",
    ),
]
