"""The open portal behind a request: what routes and their dependencies reach the services by.

Comes in: a request, the name of a part. Leaves: the part. The floors above know its type (`bootstrap.Portal`).
"""

from typing import Any

from fastapi import Depends, Request


def portal_of(request: Request) -> Any:
    """The portal that the app's lifespan opened."""
    return request.app.state.portal


def of_portal(name: str) -> Any:
    """A dependency on one part of the open portal."""

    async def part(request: Request) -> Any:
        return getattr(portal_of(request), name)

    return Depends(part)
