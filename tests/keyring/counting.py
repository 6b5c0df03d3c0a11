"""A key provider that counts its calls and can be made to wait, fail or answer wrongly."""

from collections import Counter
from collections.abc import Awaitable, Callable

from portal.backends.keys.base import Binding, KeyProvider
from portal.backends.keys.local import LocalKeyProvider

Answer = Callable[[bytes], Awaitable[bytes]]


async def truth(key: bytes) -> bytes:
    return key


class CountingProvider:
    """See `KeyProvider`. `answer` is handed every key that was unwrapped, and gives what the caller gets."""

    def __init__(self, inner: KeyProvider | None = None) -> None:
        self._inner = inner or LocalKeyProvider.random()
        self.calls: Counter[str] = Counter()
        self.answer: Answer = truth

    @property
    def key_id(self) -> str:
        return self._inner.key_id

    async def wrap(self, data_key: bytes, binding: Binding) -> bytes:
        self.calls["wrap"] += 1
        return await self._inner.wrap(data_key, binding)

    async def unwrap(self, wrapped: bytes, binding: Binding) -> bytes:
        self.calls["unwrap"] += 1
        return await self.answer(await self._inner.unwrap(wrapped, binding))

    def version_of(self, head: bytes) -> int | None:
        return self._inner.version_of(head)

    async def check(self) -> None:
        self.calls["check"] += 1

    async def aclose(self) -> None:
        self.calls["aclose"] += 1
