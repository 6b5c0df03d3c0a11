"""The guard of a key provider: how often it asks, when it stops asking, and how it learns that an answer would come."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import UUID

import pytest
import structlog
from structlog.testing import capture_logs

from portal.backends.keys import guarded
from portal.backends.keys.base import Binding, KeyProviderError
from portal.backends.keys.guarded import ATTEMPTS, OPEN_AFTER, GuardedKeyProvider
from portal.core import log
from portal.core.errors import ConfigError
from portal.db.reasons import reason

from ..keyring.counting import CountingProvider

BINDING = Binding(UUID(int=0xDA7A), "none")
KEY = bytes(range(32))
Behaviour = Callable[[], Awaitable[None]]


async def well() -> None:
    """It answers."""


async def away() -> None:
    raise KeyProviderError(transient=True, reason="the server is sealed")


async def refusal() -> None:
    raise KeyProviderError(reason="no such binding")


async def denial() -> None:
    raise KeyProviderError(transient=True, denied=True, reason="these credentials are refused")


async def silence() -> None:
    await asyncio.Event().wait()


async def other_key() -> None:
    raise ConfigError("this key cannot bind")


class Provider(CountingProvider):
    """One whose every call does first what `does` says."""

    def __init__(self) -> None:
        super().__init__()
        self.does: Behaviour = well

    async def wrap(self, data_key: bytes, binding: Binding) -> bytes:
        self.calls["asked"] += 1
        await self.does()
        return await super().wrap(data_key, binding)

    async def check(self) -> None:
        await super().check()
        await self.does()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every wait is short, and whatever would end by itself is far away."""
    waits = {"CALL_SECONDS": 0.02, "PAUSE_SECONDS": 0, "RECHECK_SECONDS": 60, "CHECK_SECONDS": 60}
    for name, seconds in waits.items():
        monkeypatch.setattr(guarded, name, seconds)


@pytest.fixture
def provider() -> Provider:
    return Provider()


@pytest.fixture
async def guard(provider: Provider) -> AsyncIterator[GuardedKeyProvider]:
    made = GuardedKeyProvider(provider)
    yield made
    await made.aclose()


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110  # the loop's own timers end it
        await asyncio.sleep(0.001)


async def refused(call: Awaitable[object]) -> KeyProviderError:
    with pytest.raises(KeyProviderError) as caught:
        await call
    return caught.value


@pytest.mark.parametrize("fault", [away, silence])
async def test_what_may_pass_is_tried_again_and_no_more_often_than_that(
    guard: GuardedKeyProvider, provider: Provider, fault: Behaviour
) -> None:
    provider.does = fault
    await refused(guard.wrap(KEY, BINDING))
    assert provider.calls["asked"] == ATTEMPTS


async def test_a_denial_is_tried_no_second_time_and_opens_the_circuit(
    guard: GuardedKeyProvider, provider: Provider
) -> None:
    provider.does = denial
    for _ in range(2 * OPEN_AFTER):
        assert reason(await refused(guard.wrap(KEY, BINDING))) == "these credentials are refused"
    assert provider.calls["asked"] == OPEN_AFTER


@pytest.mark.parametrize("fault", [denial, other_key])
async def test_a_provider_that_only_an_operator_can_mend_is_checked_ever_more_seldom_until_once_a_minute(
    guard: GuardedKeyProvider, provider: Provider, monkeypatch: pytest.MonkeyPatch, fault: Behaviour
) -> None:
    async def pause_after(does: Behaviour) -> float:
        provider.does = does
        await guard._recheck()
        return guard._recheck_seconds

    monkeypatch.setattr(guarded, "RECHECK_SECONDS", 2)
    assert [await pause_after(fault) for _ in range(8)] == [4, 8, 16, 32, 60, 60, 60, 60]
    assert await pause_after(away) == 2
    assert await pause_after(fault) == 4
    assert await pause_after(well) == 2


async def test_a_fault_that_passes_is_noticed_by_nobody(guard: GuardedKeyProvider, provider: Provider) -> None:
    async def once() -> None:
        provider.does = well
        await away()

    provider.does = once
    wrapped = await guard.wrap(KEY, BINDING)
    assert await guard.unwrap(wrapped, BINDING) == KEY
    assert provider.calls["asked"] == 2
    assert guard.key_id == provider.key_id


async def test_a_refusal_opens_nothing(guard: GuardedKeyProvider, provider: Provider) -> None:
    provider.does = refusal
    for _ in range(2 * OPEN_AFTER):
        assert reason(await refused(guard.wrap(KEY, BINDING))) == "no such binding"
    assert provider.calls["asked"] == 2 * OPEN_AFTER
    provider.does = well
    await guard.wrap(KEY, BINDING)


async def test_refusals_do_not_hide_that_the_provider_is_away(
    guard: GuardedKeyProvider, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guarded, "ATTEMPTS", 1)
    await guard.check()
    for fault in (away, refusal) * OPEN_AFTER:
        provider.does = fault
        await refused(guard.wrap(KEY, BINDING))
    assert provider.calls["asked"] == 2 * OPEN_AFTER - 1
    assert reason(await refused(guard.check())) == "the server is sealed"


async def test_a_provider_that_only_refuses_is_checked_as_one_that_nobody_called(
    guard: GuardedKeyProvider, provider: Provider
) -> None:
    provider.does = refusal
    await refused(guard.wrap(KEY, BINDING))
    await guard._recheck()
    assert provider.calls["check"] == 1
    assert reason(await refused(guard.check())) == "no such binding"


async def test_an_open_circuit_refuses_every_call_at_once_and_says_why(
    guard: GuardedKeyProvider, provider: Provider
) -> None:
    provider.does = away
    with capture_logs() as lines:
        await refused(guard.wrap(KEY, BINDING))
        provider.does = silence
        provider.calls.clear()
        errors = [await refused(guard.wrap(KEY, BINDING)) for _ in range(50)]
        errors += [await refused(guard.unwrap(b"", BINDING)), await refused(guard.check())]
    assert {reason(error) for error in errors} == {"the server is sealed"}
    assert {str(error) for error in errors} == {KeyProviderError.title}
    assert provider.calls == {}
    assert [(line["event"], line["reason"], line["key_id"]) for line in lines] == [
        ("key_provider_away", "the server is sealed", provider.key_id)
    ]


async def test_callers_that_wait_while_it_opens_do_not_ask_again(
    guard: GuardedKeyProvider, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away_at_once_for_all() -> None:
        if provider.calls["asked"] == 20:
            all_ask.set()
        await all_ask.wait()
        await away()

    monkeypatch.setattr(guarded, "CALL_SECONDS", 60)
    all_ask, provider.does = asyncio.Event(), away_at_once_for_all
    errors = await asyncio.gather(*(refused(guard.wrap(KEY, BINDING)) for _ in range(20)))
    assert {reason(error) for error in errors} == {"the server is sealed"}
    assert provider.calls["asked"] == 20


async def test_it_closes_by_itself_when_the_provider_is_back(
    guard: GuardedKeyProvider, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guarded, "RECHECK_SECONDS", 0.001)
    provider.does = away
    with log.bound(request_id="of the first failure"):
        await refused(guard.wrap(KEY, BINDING))
    await until(lambda: provider.calls["check"] >= 3)  # it goes on asking
    assert provider.calls["asked"] == ATTEMPTS
    provider.does = well
    with capture_logs([structlog.contextvars.merge_contextvars]) as lines:
        await until(lambda: guard._reason is None)
    assert [line["event"] for line in lines] == ["key_provider_back"]
    assert "request_id" not in lines[0]  # it is not of the request that met the failure
    assert await guard.unwrap(await guard.wrap(KEY, BINDING), BINDING) == KEY


async def test_a_check_asks_once_and_reads_what_is_known_from_then_on(
    guard: GuardedKeyProvider, provider: Provider
) -> None:
    for _ in range(100):
        await guard.check()
    assert provider.calls["check"] == 1


@pytest.mark.parametrize(("fault", "error"), [(away, KeyProviderError), (other_key, ConfigError)])
async def test_the_first_check_raises_what_the_provider_raises(
    guard: GuardedKeyProvider, provider: Provider, fault: Behaviour, error: type[Exception]
) -> None:
    provider.does = fault
    with pytest.raises(error):
        await guard.check()


@pytest.mark.parametrize("fault", [away, silence, other_key, refusal])
async def test_a_provider_that_fails_while_nobody_calls_is_known_and_one_that_is_back_too(
    guard: GuardedKeyProvider, provider: Provider, monkeypatch: pytest.MonkeyPatch, fault: Behaviour
) -> None:
    monkeypatch.setattr(guarded, "CHECK_SECONDS", 0.001)
    monkeypatch.setattr(guarded, "RECHECK_SECONDS", 0.001)
    await guard.check()
    provider.does = fault
    await until(lambda: guard._failures >= OPEN_AFTER)
    await refused(guard.check())
    await refused(guard.wrap(KEY, BINDING))
    assert provider.calls["asked"] == 0
    provider.does = well
    await until(lambda: guard._reason is None)
    await guard.check()


async def test_one_failure_is_told_before_the_circuit_opens(
    guard: GuardedKeyProvider, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    await guard.check()
    monkeypatch.setattr(guarded, "ATTEMPTS", 1)
    provider.does = away
    await refused(guard.wrap(KEY, BINDING))
    assert reason(await refused(guard.check())) == "the server is sealed"
    provider.does = well
    await guard.wrap(KEY, BINDING)
    await guard.check()


async def test_a_provider_that_just_answered_is_not_checked(guard: GuardedKeyProvider, provider: Provider) -> None:
    await guard.wrap(KEY, BINDING)
    await guard._recheck()
    assert provider.calls["check"] == 0


@pytest.mark.parametrize("does", [well, silence])
async def test_closing_ends_a_check_that_runs_and_plans_none(
    provider: Provider, monkeypatch: pytest.MonkeyPatch, does: Behaviour
) -> None:
    monkeypatch.setattr(guarded, "CHECK_SECONDS", 0.001)
    monkeypatch.setattr(guarded, "CALL_SECONDS", 60)
    guard = GuardedKeyProvider(provider)
    await guard.check()
    provider.does = does
    await until(lambda: provider.calls["check"] > 1)
    await guard.aclose()
    asked = provider.calls["check"]
    await asyncio.sleep(0.01)
    assert provider.calls == {"check": asked, "aclose": 1}
    await guard.aclose()


async def test_a_call_that_fails_after_the_closing_plans_no_check(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away_in_the_end() -> None:
        await closed.wait()
        await away()

    monkeypatch.setattr(guarded, "RECHECK_SECONDS", 0.001)
    monkeypatch.setattr(guarded, "CALL_SECONDS", 60)
    closed, provider.does = asyncio.Event(), away_in_the_end
    guard = GuardedKeyProvider(provider)
    call = asyncio.create_task(guard.wrap(KEY, BINDING))
    await until(lambda: provider.calls["asked"] == 1)
    await guard.aclose()
    closed.set()
    await refused(call)
    await asyncio.sleep(0.01)
    assert provider.calls["check"] == 0
