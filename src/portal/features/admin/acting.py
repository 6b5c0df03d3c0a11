"""Who acts on the portal itself: an administrator whose right still holds, or the command line.

Comes in: a principal, or the actor of the command line. Leaves: the actor for the audit log. Next: `jobs`, `keys`.
"""

from portal.core.principal import Principal
from portal.db.connection import Connection
from portal.features.authz import policy
from portal.features.authz.actions import Action
from portal.features.identity.accounts import Actor
from portal.features.identity.authenticators import Authenticators


def require(by: Actor, action: Action) -> None:
    """Raises Forbidden. The command line may do everything."""
    if isinstance(by, Principal):
        policy.require(by, action)


async def actor_of(connection: Connection, authenticators: Authenticators, by: Actor, action: Action) -> str:
    """The actor, whose right is judged in the transaction where it takes effect. Raises Forbidden, NotSignedIn."""
    if isinstance(by, Principal):
        by = await authenticators.reauthenticate(connection, by)
        policy.require(by, action)
    return by if isinstance(by, str) else by.actor
