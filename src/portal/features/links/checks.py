"""Checks of a link's target and its creator's right to it: when the link is created, and again with every use.

Comes in: the caller's connection, a principal, the kind of link. Leaves: nothing, or an error.
"""

from datetime import timedelta
from uuid import UUID

from portal.core import clock
from portal.core.errors import Conflict, Forbidden, NotFound, NotSignedIn
from portal.core.principal import Principal
from portal.db.connection import Connection
from portal.features.authz import policy
from portal.features.authz.actions import Action
from portal.features.authz.relation import INBOX, Relation
from portal.features.cases import relations
from portal.features.links import repository
from portal.features.links.repository import LiveLink
from portal.features.links.views import ACTIONS, LinkKind

OVERTIME = timedelta(days=1)


async def require_place(connection: Connection, principal: Principal, kind: LinkKind, case_id: UUID | None) -> None:
    """Check the creator's right and the case's TLP. `case_id` None is the creator's inbox.

    Raises NotFound, Forbidden, CaseReadOnly, TlpForbidsLinks.
    """
    relation = await require_right(connection, principal, kind, case_id)
    policy.require_links(principal, ACTIONS[kind], relation)


async def require_right(connection: Connection, principal: Principal, kind: LinkKind, case_id: UUID | None) -> Relation:
    """Check the creator's right, whatever the TLP of the case, and return the relation to the case.

    Raises NotFound, Forbidden, CaseReadOnly.
    """
    if kind is LinkKind.UPLOAD:
        policy.require(principal, Action.FILE_CREATE)
    relation = INBOX if case_id is None else await relations.find(connection, case_id, principal.user_id)
    if relation is None:
        raise NotFound
    policy.require_on(principal, ACTIONS[kind], relation)
    return relation


async def principal_of(connection: Connection, live: LiveLink) -> Principal:
    """The principal of a link. Raises NotSignedIn where its creator could not create it now: then it is invalid."""
    principal = live.link.principal(live.role)
    try:
        await require_place(connection, principal, live.link.kind, live.link.case_id)
    except (NotFound, Forbidden, Conflict):
        raise NotSignedIn from None
    return principal


async def reauthenticate(connection: Connection, link_id: UUID, *, begun: bool = True) -> Principal:
    """The principal of a link as of now. Raises NotSignedIn where the link or its creator's right has ended.

    With `begun`, for a transfer that is running, the link may have expired up to OVERTIME (a day) ago. Otherwise it
    must not have expired.
    """
    moment = clock.now() - (OVERTIME if begun else timedelta())
    live = await repository.live_by_id(connection, link_id, moment)
    if live is None:
        raise NotSignedIn
    return await principal_of(connection, live)
