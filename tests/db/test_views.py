from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

import pytest
from sqlalchemy import Column, LargeBinary, Uuid
from sqlmodel.sql.sqltypes import AutoString, UTCDateTime

from portal.core.errors import IntegrityError
from portal.db.views import types_of, view_of


class Colour(StrEnum):
    RED = "red"


@dataclass(frozen=True, slots=True)
class Ball:
    id: UUID
    colour: Colour
    owner: str | None = None


ID = UUID(int=7)


def test_a_view_has_the_columns_of_its_fields_and_no_other() -> None:
    assert view_of(Ball, {"id": ID, "colour": "red", "owner": None, "weight": 3}) == Ball(ID, Colour.RED)


def test_a_word_becomes_a_member_of_its_enum() -> None:
    assert view_of(Ball, {"id": ID, "colour": "red", "owner": "ann"}).colour is Colour.RED


@pytest.mark.parametrize("word", ["blue", "", None, 5])
def test_a_row_whose_word_was_edited_is_damaged(word: object) -> None:
    with pytest.raises(IntegrityError):
        view_of(Ball, {"id": ID, "colour": word, "owner": None})


def test_the_type_of_a_column_is_never_any_type() -> None:
    columns = [Column("a", AutoString()), Column("b", UTCDateTime()), Column("c", Uuid()), Column("d", LargeBinary())]
    assert types_of(columns) == {"a": str, "b": datetime, "c": UUID, "d": bytes}
