"""Right tests for outcomes and reports that are not told as they are yet: each fails until `src` is mended."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from portal.core.errors import IntegrityError, StorageFull
from portal.core.principal import Principal
from portal.features.files import repository
from portal.features.files.intake import UploadLost

from .conftest import ORIGIN, House, flip, whole


@pytest.mark.xfail(strict=True, reason="_is_gone raises out of the handler before the outcome is said")
async def test_damage_is_damage_while_the_database_is_away(
    house: House, analyst: Principal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = await house.hand_in(analyst)
    flip(house, -1)
    running = await house.deliveries.start(analyst, file.id, ORIGIN, whole)
    house.database.away = True
    monkeypatch.setattr(house.database, "read", house.database.write)  # reading is as far away as writing
    with pytest.raises(IntegrityError):
        [chunk async for chunk in running.chunks]
    (line,) = (tmp_path / "journal.jsonl").read_text().splitlines()
    assert json.loads(line)["details"]["outcome"] == "damaged"


@pytest.mark.xfail(strict=True, raises=StorageFull, reason="the catalogue forgives Unavailable alone")
async def test_a_delete_on_a_full_disk_is_a_delete(
    house: House, analyst: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: Any) -> None:
        raise StorageFull

    file = await house.hand_in(analyst)
    with monkeypatch.context() as disk:
        disk.setattr(repository, "forget_blobs", full)
        await house.catalog.delete(analyst, file.id, 1, ORIGIN)
    assert await house.maintenance.sweep() == 1


@pytest.mark.xfail(strict=True, reason="_settled counts what someone else settled first")
async def test_a_sweep_that_comes_too_late_settled_nothing(
    house: House, analyst: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: list[int] = []

    async def twice() -> None:
        real = repository.unsettled

        async def first(*arguments: Any) -> Any:
            found = await real(*arguments)
            monkeypatch.setattr(repository, "unsettled", real)
            counts.append(await house.maintenance.sweep(timedelta(0)))
            return found

        monkeypatch.setattr(repository, "unsettled", first)
        counts.append(await house.maintenance.sweep(timedelta(0)))

    with pytest.raises(UploadLost):
        await house.hand_in(analyst, meanwhile=twice)
    assert counts == [1, 0]
