"""The guard of a key provider: a time limit for each call, a few retries, and a circuit that opens.

Comes in: a `KeyProvider`, and its calls. Leaves: the same answers, or a KeyProviderError soon: a provider that does not
answer costs its first callers seconds and all later ones nothing, because calls are refused while the circuit is open.
The guard checks the provider in the background and closes the circuit when it answers again; no caller waits for that,
and `check` only reads what is known. Next: the registry guards every provider, the keyring calls the guard.
"""

import asyncio
import contextvars
import itertools
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from portal.backends.keys.base import Binding, KeyProvider, KeyProviderError
from portal.core import log
from portal.core.errors import PortalError
from portal.core.tasks import in_time

CALL_SECONDS = 5.0  # how long one call may take
ATTEMPTS = 3
PAUSE_SECONDS = 0.2  # before the first retry; the next pause is twice as long
OPEN_AFTER = 3  # failed calls in a row
RECHECK_SECONDS = 2.0  # between checks after a failure
DENIED_SECONDS = 60.0  # the longest pause between checks while the provider refuses the portal: each is twice the last
CHECK_SECONDS = 10.0  # a provider that was not called for so long is checked

_T = TypeVar("_T")
_Call = Callable[[], Awaitable[_T]]
_log = log.get(__name__)


class GuardedKeyProvider:
    """A `KeyProvider` around another one. For the tasks of one event loop."""

    def __init__(self, provider: KeyProvider) -> None:
        self._provider = provider
        self._failures = self._denials = 0  # in a row
        self._reason: str | None = None  # of the last failure; None since the last answer
        self._answered_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._checking: asyncio.Task[None] | None = None
        self._is_closed = False

    @property
    def key_id(self) -> str:
        return self._provider.key_id

    async def wrap(self, data_key: bytes, binding: Binding) -> bytes:
        return await self._call(lambda: self._provider.wrap(data_key, binding))

    async def unwrap(self, wrapped: bytes, binding: Binding) -> bytes:
        return await self._call(lambda: self._provider.unwrap(wrapped, binding))

    def version_of(self, head: bytes) -> int | None:
        return self._provider.version_of(head)

    async def check(self) -> None:
        """Raises KeyProviderError if the last thing that is known of the provider is a failure.

        The first check asks the provider, and raises what it raises. From then on the guard keeps itself informed: what
        it knows is at most some seconds old, and a check costs no call.
        """
        if self._timer is None and self._checking is None:
            await self._call(self._provider.check)
            self._plan(CHECK_SECONDS)
        elif self._reason is not None:
            raise KeyProviderError(reason=self._reason)

    async def aclose(self) -> None:
        self._is_closed = True  # a call that still runs may fail: it plans no check
        if self._checking is not None:
            self._checking.cancel()
            await asyncio.wait([self._checking])
        if self._timer is not None:
            self._timer.cancel()
        await self._provider.aclose()

    async def _call(self, call: _Call[_T]) -> _T:
        for attempt in itertools.count(1):
            if self._is_open:
                raise KeyProviderError(reason=self._reason, transient=True)
            try:
                return await self._attempt(call)
            except KeyProviderError as error:
                if not error.transient or error.denied or attempt == ATTEMPTS:
                    raise
            await asyncio.sleep(_jittered(PAUSE_SECONDS * 2 ** (attempt - 1)))
        raise AssertionError("unreachable")

    async def _attempt(self, call: _Call[_T]) -> _T:
        try:
            answer = await in_time(call(), CALL_SECONDS, _late)
        except KeyProviderError as error:
            if error.transient:  # a refusal says nothing of the provider: one damaged row must neither open the circuit
                self._failed(error)  # nor hide that the provider is away
            raise
        self._answered()
        return answer

    @property
    def _is_open(self) -> bool:
        return self._failures >= OPEN_AFTER

    def _answered(self) -> None:
        if self._is_open:
            _log.info("key_provider_back", key_id=self.key_id)
        self._failures = self._denials = 0
        self._reason, self._answered_at = None, time.monotonic()

    def _failed(self, error: PortalError) -> None:
        self._failures += 1
        may_pass = isinstance(error, KeyProviderError) and not error.denied
        self._denials = 0 if may_pass else self._denials + 1
        self._reason = error.reason or str(error)
        if self._failures == OPEN_AFTER:
            _log.warning("key_provider_away", key_id=self.key_id, reason=self._reason)
        if self._checking is None:
            self._plan(self._recheck_seconds)

    @property
    def _recheck_seconds(self) -> float:
        return min(RECHECK_SECONDS * (1 << min(self._denials, 6)), DENIED_SECONDS)

    def _plan(self, seconds: float) -> None:
        """Check the provider in about so many seconds, and not before."""
        if self._timer is not None:
            self._timer.cancel()
        if self._is_closed:
            return
        # A context of its own: what the checks log is not of the request that met the first failure.
        later = asyncio.get_running_loop().call_later
        self._timer = later(_jittered(seconds), self._begin_check, context=contextvars.Context())

    def _begin_check(self) -> None:
        self._timer = None
        self._checking = asyncio.create_task(self._recheck())
        self._checking.add_done_callback(self._plan_next)

    async def _recheck(self) -> None:
        """Check the provider unless calls were answered meanwhile. Never raises."""
        if self._reason is None and time.monotonic() - self._answered_at < CHECK_SECONDS:
            return
        try:
            await in_time(self._provider.check(), CALL_SECONDS, _late)
        except PortalError as error:  # also a ConfigError: its key was changed behind our back
            self._failed(error)
        else:
            self._answered()

    def _plan_next(self, checked: asyncio.Task[None]) -> None:
        self._checking = None
        if not checked.cancelled():
            self._plan(CHECK_SECONDS if self._reason is None else self._recheck_seconds)


def _late() -> KeyProviderError:
    return KeyProviderError(transient=True, reason="no answer in time")


def _jittered(seconds: float) -> float:
    """From half of it to one and a half: processes that failed together do not come back together."""
    return seconds * random.uniform(0.5, 1.5)  # noqa: S311  # no secret
