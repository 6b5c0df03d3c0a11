"""Fresh sign-in: creating something that outlives the session needs a password entered within FRESH.

Comes in: a principal. Leaves: nothing, or `FreshSignInRequired`. The reason: a stolen access token must not suffice to
create a credential of its own. Next: `deps` offers it to route signatures.
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
    """Raises FreshSignInRequired where the password was entered more than FRESH ago, or there is no session."""
    if principal.proved_at is None or clock.now() - principal.proved_at > FRESH:
        raise FreshSignInRequired


def require_fresh_for(principal: Principal, lifetime: timedelta) -> None:
    """As `require_fresh`, but only for a lifetime that is longer than a session's."""
    if lifetime > SESSION_LIFETIME:
        require_fresh(principal)
