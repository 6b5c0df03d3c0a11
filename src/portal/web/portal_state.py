"""Access to the running portal from a request: routes and dependencies get the services through it.

`web` does not know the type of the portal; the layers above do (`bootstrap.Portal`).
"""

from operator import attrgetter
from typing import Any

from fastapi import Request

from portal.web.routing import AtHand


def portal_of(request: Request) -> Any:
    """The running portal, which the app's lifespan opened."""
    return request.app.state.portal


def of_portal(name: str) -> AtHand:
    """A parameter of an endpoint that is a part of the running portal, for example `of_portal("files")`; also a part of
    a part, as `identity.account_names`.
    """
    part = attrgetter(name)
    return AtHand(lambda request: part(portal_of(request)))
