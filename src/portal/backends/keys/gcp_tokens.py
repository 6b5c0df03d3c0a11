"""The token with which the portal asks Google Cloud KMS.

Comes in: the JSON of a service account's key or of workload identity federation; without it, what the machine has
(Application Default Credentials). Leaves: a token that is good now. A service account signs its own token, the others
ask Google or the machine's metadata server for one. Next: `gcp_kms_server` sends it with each call.

Google's library waits for its HTTP, so it does that in a thread, one at a time, which no stop waits for. Its
`before_request` is not used: it would also ask another service where the account may be used from.
"""

import asyncio
import contextlib
import functools
import json
import threading
from collections.abc import Callable, Mapping, Sequence

import google.auth
from google.auth.credentials import Credentials, TokenState
from google.auth.exceptions import GoogleAuthError
from google.auth.identity_pool import Credentials as FederatedCredentials
from google.auth.transport.requests import Request
from google.oauth2.service_account import Credentials as ServiceAccount

from portal.backends.keys.base import KeyProviderError
from portal.core.errors import ConfigError

_SCOPES = ["https://www.googleapis.com/auth/cloudkms"]  # the token of a thief opens nothing else
_REQUEST_SECONDS = 5.0
_REFUSED = "PORTAL_GCP_CREDENTIALS must be the JSON of a service account's key or of workload identity federation"


class GcpTokens:
    """The token of one process. Concurrent callers share one sign-in."""

    def __init__(self, credentials: str) -> None:
        self._credentials: Credentials | None = _parsed(credentials) if credentials else None
        self._renewal: asyncio.Future[None] | None = None

    async def current(self) -> str:
        """A token that is good now. Raises KeyProviderError."""
        if self._state is not TokenState.FRESH:
            renewal = self._begun()
            if self._state is TokenState.INVALID:  # a stale one is good for some minutes more
                await asyncio.shield(renewal)
        if self._credentials is None or not self._credentials.token:
            raise _no_token()
        return str(self._credentials.token)

    def forget(self) -> None:
        """The service refused the token: the next call fetches another one."""
        if self._credentials is not None:
            self._credentials.token = None

    @property
    def _state(self) -> TokenState:
        return TokenState.INVALID if self._credentials is None else self._credentials.token_state

    def _begun(self) -> "asyncio.Future[None]":
        if self._renewal is None or self._renewal.done():
            self._renewal = _in_thread(self._renew)
        return self._renewal

    def _renew(self) -> None:
        """Sign in. Waits."""
        if self._credentials is None:
            self._credentials = _of_the_machine()
        self._credentials.refresh(functools.partial(Request(), timeout=_REQUEST_SECONDS))


def _parsed(text: str) -> Credentials:
    """The credentials in this JSON. Raises ConfigError, which shows nothing of it."""
    try:
        info = json.loads(text)
        found: Credentials = _KINDS[info["type"]](info, scopes=_SCOPES)
    except (GoogleAuthError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise ConfigError(_REFUSED) from None
    return found


def _service_account(info: Mapping[str, str], scopes: Sequence[str]) -> Credentials:
    """It signs its tokens itself, without a request to Google."""
    found: Credentials = ServiceAccount.from_service_account_info(info, scopes=scopes, always_use_jwt_access=True)
    return found


_KINDS: dict[str, Callable[..., Credentials]] = {
    "service_account": _service_account,
    "external_account": FederatedCredentials.from_info,
}


def _of_the_machine() -> Credentials:
    found: Credentials = google.auth.default(scopes=_SCOPES)[0]
    return found.with_always_use_jwt_access(True) if isinstance(found, ServiceAccount) else found


def _no_token() -> KeyProviderError:
    return KeyProviderError(reason="the credentials give no token", transient=True)


def _in_thread(work: Callable[[], None]) -> "asyncio.Future[None]":
    """`work` in a thread that ends with the process. Its future raises KeyProviderError for whatever `work` raises."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()
    done.add_done_callback(lambda ended: ended.cancelled() or ended.exception())  # a cancelled caller reads no error

    def settle(error: KeyProviderError | None) -> None:
        if not done.done():
            done.set_exception(error) if error else done.set_result(None)

    def run() -> None:
        error = None
        try:
            work()
        except Exception:  # noqa: BLE001  # a library's, in any state of the network; its text may hold a token
            error = _no_token()
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(settle, error)

    threading.Thread(target=run, daemon=True, name="gcp-tokens").start()
    return done
