"""The inventory lists what is there: each table, each derived key, each bound of a log."""

import re
from pathlib import Path

from sqlmodel import SQLModel

import portal.tables  # noqa: F401  # every table is known once this is imported
from portal.core import log
from portal.db import engine
from portal.settings import Settings

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/inventory.md").read_text()


def first_cells(title: str) -> list[str]:
    section = PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [line.split("|")[1].strip() for line in lines[1:]]


def test_every_table_has_its_class_and_its_end() -> None:
    assert sorted(first_cells("Data")) == sorted(f"`{name}`" for name in SQLModel.metadata.tables)


def test_every_derived_key_is_in_the_list_of_cryptography() -> None:
    source = "".join(path.read_text() for path in (ROOT / "src/portal").rglob("*.py"))
    purposes = set(re.findall(r'purpose_keys\([^"()]*"([^"]+)"\)', source))
    assert len(purposes) >= 5
    assert {f"`{purpose}`" for purpose in purposes} == {cell for cell in first_cells("Cryptography") if "`" in cell}


def test_the_bounds_of_a_log_file_and_the_age_of_a_key_are_the_ones_in_force() -> None:
    assert f"rotated at {log._MAX_BYTES >> 20} MiB, {log._KEPT} kept" in PAGE
    assert f"data key: {Settings.model_fields['data_key_days'].default} days" in PAGE


def test_the_bounds_of_a_connection_are_the_ones_in_force() -> None:
    words = {5: "five", 10: "ten", 30: "thirty"}
    assert f"The database pool has {words[engine._POOL_SIZE]} connections" in PAGE
    assert f"waits {words[engine._POOL_WAIT_SECONDS]} seconds for one" in PAGE
    assert f"may take {words[engine._CONNECT_SECONDS]} seconds, a statement\n{words[engine._COMMAND_SECONDS]}." in PAGE
