"""Revocation of an account's links, in the transaction in which the account loses the right to them.

Comes in: an account whose rights changed, or all of whose credentials are to end. Leaves: revoked links, each with its
reason and an audit event. The revocation is permanent: regaining the right does not restore a link.
"""

from uuid import UUID

from portal.core import clock
from portal.core.errors import Conflict, Forbidden, NotFound
from portal.core.principal import NOWHERE, Origin, Principal, Role
from portal.db.connection import Connection
from portal.features.audit import record
from portal.features.audit.events import Event, EventKind
from portal.features.identity.revocation import Revoked
from portal.features.links import repository
from portal.features.links.checks import OVERTIME, require_right
from portal.features.links.views import Link, LinkStatus, details_of

_ALL = LinkStatus.CREATOR_REVOKED_ALL


async def end_of_account(
    connection: Connection, user_id: UUID, *, actor: str, origin: Origin = NOWHERE, everything: bool = True
) -> int:
    """Revoke an account's links, and return their number.

    With `everything`, all of them; otherwise those that the account could not create now. Links that expired less than
    OVERTIME ago are included: a transfer that began with one may still be running.
    """
    now, ended = clock.now(), 0
    for link, role, disabled in await repository.unended_of(connection, user_id, now - OVERTIME):
        reason = _ALL if everything else await _reason(connection, link, role, disabled=disabled)
        if reason is None or not await repository.revoke(connection, link.id, now, reason):
            continue
        ended += 1
        details = details_of(link) | {"because": reason.value}
        await record.write(connection, Event(EventKind.LINK_REVOKED, actor, str(link.id), origin, details))
    return ended


async def end_links_of(connection: Connection, revoked: Revoked) -> int:
    """`end_of_account` in the form that `identity.revocation` calls."""
    everything = revoked.everything
    return await end_of_account(
        connection, revoked.user_id, actor=revoked.actor, origin=revoked.origin, everything=everything
    )


async def _reason(connection: Connection, link: Link, role: Role, *, disabled: bool) -> LinkStatus | None:
    """The reason why the creator could not create the link now, or None.

    Also None where only the case refuses, for example while it is closed: that may change again.
    """
    if disabled:
        return LinkStatus.CREATOR_DISABLED
    maker = Principal(actor=f"user:{link.made_by}", role=role, user_id=link.made_by, credential_id=link.id)
    try:
        await require_right(connection, maker, link.kind, link.case_id)
    except Conflict:
        return None
    except (NotFound, Forbidden):
        return LinkStatus.CREATOR_LOST_RIGHT
    return None
