"""The token with which the portal asks a Vault or OpenBao server, and its renewal.

Comes in: the settings of one of three methods: a token, an AppRole, a Kubernetes service account. Leaves: a token that
is good now. It is fetched at the first call and again when two thirds of its life are over; an AppRole and a service
account sign in anew, a token is renewed if it can be. Next: `vault` sends it with each call.
"""

import asyncio
import math
import time
from dataclasses import dataclass
from typing import Any

from portal.backends.keys.base import KeyProviderError
from portal.backends.keys.vault_server import VaultServer, nonsense
from portal.backends.keys.vault_settings import VaultSettings
from portal.core.secrets import Secret

_PATIENCE_SECONDS = 2.0  # for a sign-in while the token is still good: less than a call has, which needs the rest
_AGAIN_SECONDS = 60  # after a sign-in that failed while the token is still good; for a token that is not renewed
_REFUSED = {400, 401, 403, 404}  # these credentials, or this method: only an operator can mend it
_MAX_SECONDS = 100 * 365 * 86_400  # a token may be made for many years


@dataclass(frozen=True, slots=True)
class _Lease:
    """A token, when to fetch the next one, and when it ends."""

    token: Secret
    renew_at: float
    ends_at: float

    @classmethod
    def of(cls, token: Secret, seconds: float) -> "_Lease":
        """The lease of a token that lives for so many seconds from now; 0 means that it does not end."""
        now, life = time.monotonic(), seconds or math.inf
        return cls(token, now + life * 2 / 3, now + life)


class VaultTokens:
    """The token of one process at one server. Concurrent callers share one sign-in."""

    def __init__(self, server: VaultServer, settings: VaultSettings) -> None:
        self._server, self._settings = server, settings
        self._lease: _Lease | None = None
        self._lock = asyncio.Lock()

    async def current(self) -> Secret:
        """A token that is good now. Raises KeyProviderError."""
        async with self._lock:
            if self._lease is None or time.monotonic() >= self._lease.renew_at:
                self._lease = await self._renewed(self._lease)
            return self._lease.token

    def forget(self, token: Secret) -> None:
        """The server refused this token: the next call fetches another one."""
        if self._lease is not None and self._lease.token == token:
            self._lease = None

    async def _renewed(self, old: _Lease | None) -> _Lease:
        sign_in = self._kept if self._settings.vault_auth == "token" else self._signed_in
        if old is None or time.monotonic() >= old.ends_at:
            return await sign_in()
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                return await sign_in()
        except (KeyProviderError, TimeoutError):
            return _Lease(old.token, time.monotonic() + _AGAIN_SECONDS, old.ends_at)

    async def _kept(self) -> _Lease:
        """The configured token, renewed; as it is where the server does not renew it."""
        token = Secret(self._settings.vault_token.get_secret_value().encode())
        answer = await self._server.ask("auth/token/renew-self", {}, token)
        if answer.status != 200:
            return _Lease(token, time.monotonic() + _AGAIN_SECONDS, math.inf)
        return _Lease.of(token, _seconds(answer.member("auth")))

    async def _signed_in(self) -> _Lease:
        answer = await self._server.ask(self._settings.login_path, self._credentials())
        if answer.status != 200:
            text = f"the sign-in was answered {answer.status}"
            raise KeyProviderError(reason=text, transient=True, denied=answer.status in _REFUSED)
        auth = answer.member("auth")
        token = auth.get("client_token")
        if not isinstance(token, str) or not token.isascii() or not token.isprintable() or not token:
            raise nonsense()
        return _Lease.of(Secret(token.encode()), _seconds(auth))

    def _credentials(self) -> dict[str, str]:
        settings = self._settings
        if settings.vault_auth == "approle":
            return {"role_id": settings.vault_role_id, "secret_id": settings.vault_secret_id.get_secret_value()}
        try:
            return {"role": settings.vault_role, "jwt": settings.vault_jwt_path.read_text("ascii").strip()}
        except (OSError, ValueError):
            text = f"the service account's token cannot be read: {settings.vault_jwt_path}"
            raise KeyProviderError(reason=text, transient=True) from None


def _seconds(auth: Any) -> int:
    seconds = auth.get("lease_duration")
    if not isinstance(seconds, int) or isinstance(seconds, bool) or not 0 <= seconds <= _MAX_SECONDS:
        raise nonsense()
    return seconds
