"""Whether a link may lead where it leads: asked when it is made, and again with everything that is done with it.

Comes in: the caller's connection, a principal, what a link is for. Leaves: nothing, or an error.
"""

from datetime import timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from portal.core import clock
from portal.core.errors import Conflict, Forbidden, NotFound, NotSignedIn
from portal.core.principal import Principal
from portal.features.authz import policy
from portal.features.authz.actions import Action
from portal.features.authz.relation import INBOX, Relation
from portal.features.cases import relations
from portal.features.links import repository
from portal.features.links.repository import LiveLink
from portal.features.links.views import ACTIONS, LinkKind

OVERTIME = timedelta(days=1)


async def require_place(
    connection: AsyncConnection, principal: Principal, kind: LinkKind, case_id: UUID | None
) -> None:
    """Raises NotFound, Forbidden, CaseReadOnly, TlpForbidsLinks."""
    relation = await require_right(connection, principal, kind, case_id)
    policy.require_links(principal, ACTIONS[kind], relation)


async def require_right(
    connection: AsyncConnection, principal: Principal, kind: LinkKind, case_id: UUID | None
) -> Relation:
    """What an account must be allowed to, whatever the colour of the case. Raises NotFound, Forbidden, CaseReadOnly."""
    if kind is LinkKind.UPLOAD:
        policy.require(principal, Action.FILE_CREATE)
    relation = INBOX if case_id is None else await relations.find(connection, case_id, principal.user_id)
    if relation is None:
        raise NotFound
    policy.require_on(principal, ACTIONS[kind], relation)
    return relation


async def principal_of(connection: AsyncConnection, live: LiveLink) -> Principal:
    """Whoever holds the link. Raises NotSignedIn where its maker could not make it any more: then it is dead."""
    principal = live.link.principal(live.role)
    try:
        await require_place(connection, principal, live.link.kind, live.link.case_id)
    except (NotFound, Forbidden, Conflict):
        raise NotSignedIn from None
    return principal


async def again(connection: AsyncConnection, link_id: UUID, *, begun: bool = True) -> Principal:
    """The same for a link that was good when something was `begun` by it, else now. Raises NotSignedIn.

    What began in time may outlast the link, for a day at most.
    """
    moment = clock.now() - (OVERTIME if begun else timedelta())
    live = await repository.live_by_id(connection, link_id, moment)
    if live is None:
        raise NotSignedIn
    return await principal_of(connection, live)
