"""The door in front of what outlives a session: who asks for it has typed the password not long ago.

Comes in: a principal. Leaves: nothing, or `FreshSignInRequired`. A stolen access token is so worth what it can do by
itself, and not a credential of its own. Next: `deps` has it for signatures.
"""

from datetime import timedelta

from portal.core import clock
from portal.core.errors import Forbidden
from portal.core.principal import Principal
from portal.features.identity.sessions import SESSION_LIFETIME

FRESH = timedelta(minutes=15)


class FreshSignInRequired(Forbidden):
    code = "fresh_sign_in_required"
    title = "That asks for a password typed in the last 15 minutes: confirm it (POST /auth/confirm), or sign in again."


def require_fresh(principal: Principal) -> None:
    """Raises FreshSignInRequired for a session whose password was typed too long ago, and for what is no session."""
    if principal.proved_at is None or clock.now() - principal.proved_at > FRESH:
        raise FreshSignInRequired


def require_fresh_for(principal: Principal, lifetime: timedelta) -> None:
    """The same for what lasts longer than a session could."""
    if lifetime > SESSION_LIFETIME:
        require_fresh(principal)
