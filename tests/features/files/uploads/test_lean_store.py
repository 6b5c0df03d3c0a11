"""Uploads to a store that can neither refuse a taken key nor reap: no key is ever used twice, so neither is missed."""

import asyncio

import pytest

from portal.backends.blobs.base import BlobWriter, StoreAway
from portal.core.principal import Principal

from ....contracts.lean_store import LeanStore
from ..conftest import CONTENT, House


@pytest.fixture
def created(house: House, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys that the house has asked its store for, which is a lean one from now on."""
    keys: list[str] = []
    lean = LeanStore()
    really = lean.create

    async def create(key: str) -> BlobWriter:
        keys.append(key)
        return await really(key)

    monkeypatch.setattr(lean, "create", create)
    lean.blobs = house.store.blobs
    monkeypatch.setattr(house.store, "_inner", lean)
    return keys


async def test_no_attempt_of_an_upload_has_the_key_of_another(
    house: House, analyst: Principal, created: list[str]
) -> None:
    for failing in ("write", "commit", "committed"):
        house.store.failing = {failing: StoreAway()}
        with pytest.raises(StoreAway):
            await house.hand_in(analyst, key="the same request")
    house.store.failing = {}
    first = await house.hand_in(analyst, key="the same request")
    assert (await house.hand_in(analyst, key="the same request")).id == first.id
    others = await asyncio.gather(*(house.hand_in(analyst) for _ in range(5)))
    assert len(created) == len(set(created)) == 3 + 1 + 5
    for file in (first, *others):
        assert await house.fetch(analyst, file.id) == CONTENT
