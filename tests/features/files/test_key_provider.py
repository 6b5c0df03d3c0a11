"""A key provider that lies, fails or says nothing, while files go in and out: a part that is away, never damage."""

import asyncio
from typing import Any

import pytest

from portal.backends.keys import guarded
from portal.backends.keys.base import KeyProviderError
from portal.backends.keys.local import LocalKeyProvider
from portal.core.principal import Principal

from .conftest import CONTENT, House


async def another_key(*_: object) -> bytes:
    return bytes(32)


async def a_short_key(*_: object) -> bytes:
    return bytes(31)


async def refusal(*_: object) -> bytes:
    raise KeyProviderError


async def silence(*_: object) -> bytes:
    await asyncio.Event().wait()
    return b""


FAULTS = [another_key, a_short_key, refusal, silence]
faults = pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider that says nothing is away at once, and asked again at once."""
    for name, value in {"CALL_SECONDS": 0.01, "PAUSE_SECONDS": 0, "OPEN_AFTER": 1000}.items():
        monkeypatch.setattr(guarded, name, value)


def forget_keys(house: House) -> None:
    ring: Any = house.strongbox._keyring
    ring._cache.clear()


@faults
@pytest.mark.usefixtures("impatient")
async def test_a_download_without_its_key_is_refused_and_is_no_damage(
    house: House, analyst: Principal, monkeypatch: pytest.MonkeyPatch, fault: Any
) -> None:
    file = await house.hand_in(analyst)
    forget_keys(house)
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(LocalKeyProvider, "unwrap", fault)
        with pytest.raises(KeyProviderError):
            await house.fetch(analyst, file.id)
        found = [item.problem async for item in house.maintenance.fsck()]
    assert found == ["not checked: key_provider_away"]
    assert await house.record("file.damaged") == []
    (ended,) = await house.record("file.download_ended")
    assert ended["details"] | {"started": ""} == {"started": "", "outcome": "broken", "sent": 0}
    assert await house.fetch(analyst, file.id) == CONTENT


@faults
@pytest.mark.usefixtures("impatient")
async def test_an_upload_without_a_key_is_refused_and_nothing_is_kept(
    house: House, analyst: Principal, monkeypatch: pytest.MonkeyPatch, fault: Any
) -> None:
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(LocalKeyProvider, "unwrap", fault)
        with pytest.raises(KeyProviderError):
            await house.hand_in(analyst)
    await house.assert_nothing_is_kept("key_provider_away")
    assert await house.fetch(analyst, (await house.hand_in(analyst)).id) == CONTENT


@pytest.mark.usefixtures("impatient")
async def test_what_is_known_already_is_served_while_the_provider_is_away(
    house: House, analyst: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = await house.hand_in(analyst)
    for verb in ("wrap", "unwrap", "check"):
        monkeypatch.setattr(LocalKeyProvider, verb, silence)
    assert await house.fetch(analyst, file.id) == CONTENT
    assert await house.fetch(analyst, (await house.hand_in(analyst)).id) == CONTENT
