"""Access to the running portal from a request: routes and dependencies get the services through it.

`web` does not know the type of the portal; the layers above do (`bootstrap.Portal`).
"""

from typing import Any

from fastapi import Depends, Request


def portal_of(request: Request) -> Any:
    """The running portal, which the app's lifespan opened."""
    return request.app.state.portal


def of_portal(name: str) -> Any:
    """A FastAPI dependency that returns one attribute of the running portal, for example `of_portal("files")`."""

    async def part(request: Request) -> Any:
        return getattr(portal_of(request), name)

    return Depends(part)
