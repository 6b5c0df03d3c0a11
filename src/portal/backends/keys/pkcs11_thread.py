"""The one thread of this process that calls a PKCS#11 module.

Comes in: a function that calls the module. Leaves: its result, in the event loop that waits for it. A module is
initialised for callers who come one at a time, and a call of it cannot be ended: a token that hangs holds this one
thread. Until it is free again, later calls are refused at once, and the event loop never waits for the thread. Next:
`pkcs11` sends every call here, `pkcs11_token` runs here.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

from portal.backends.keys.base import KeyProviderError

_T = TypeVar("_T")
_Calls = SimpleQueue[tuple[Future[Any], Callable[[], Any]]]


class ModuleThread:
    """A thread that runs one call at a time, in order. It ends with its process, even while a call hangs."""

    def __init__(self, name: str) -> None:
        self._calls: _Calls = SimpleQueue()
        self._deserted: Future[Any] | None = None
        threading.Thread(target=_serve, args=(self._calls,), name=name, daemon=True).start()

    async def run(self, call: Callable[[], _T]) -> _T:
        """The result of `call`. If the caller is cancelled, a call that has not begun is dropped.

        Raises KeyProviderError while the call of a cancelled caller still runs, and what `call` raises.
        """
        if self._deserted is not None and not self._deserted.done():
            raise KeyProviderError(reason="the token still has to answer an earlier call", transient=True)
        future: Future[_T] = Future()
        self._calls.put((future, call))
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            if future.running():
                self._deserted = future
            raise


def _serve(calls: _Calls) -> None:
    while True:
        _answer(*calls.get())


def _answer(future: Future[Any], call: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(call())
    except BaseException as error:  # noqa: BLE001  # its caller gets it
        future.set_exception(error)
