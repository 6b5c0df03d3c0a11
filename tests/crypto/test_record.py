"""The file record: it stands for exactly one list of parts."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.core.errors import IntegrityError
from portal.crypto.record import FileClaim, PartClaim, check, make

KEY = bytes(range(32))
PARTS = (
    PartClaim(UUID(int=0xA), 1, 700, bytes([0xA]) * 32),
    PartClaim(UUID(int=0xB), 4, 1, bytes([0xB]) * 32),
    PartClaim(UUID(int=0xC), 2, 299, bytes([0xC]) * 32),
)
CLAIM = FileClaim(UUID(int=0xF11E), UUID(int=0xDA7A), "case:" + "5c" * 16, 1_000, bytes(range(32)), PARTS)
EMPTY = FileClaim(UUID(int=0xF11E), UUID(int=0xDA7A), "none", 0, bytes(32), [PartClaim(UUID(int=1), 1, 0, bytes(32))])

OTHER_FILES: dict[str, dict[str, Any]] = {
    "another file": {"file_id": UUID(int=1)},
    "another data key's id": {"data_key_id": UUID(int=1)},
    "file and data key swapped": {"file_id": CLAIM.data_key_id, "data_key_id": CLAIM.file_id},
    "another case": {"scope": "case:" + "5d" * 16},
    "no case": {"scope": "none"},
    "no scope": {"scope": ""},
    "a shorter scope": {"scope": CLAIM.scope[:-1]},
    "a longer scope": {"scope": CLAIM.scope + "0"},
    "a scope in capitals": {"scope": CLAIM.scope.upper()},
    "another digest": {"sha256": bytes(32)},
    "a digest cut short": {"sha256": CLAIM.sha256[:31]},
    "a digest too long": {"sha256": CLAIM.sha256 + b"\0"},
    "no digest": {"sha256": b""},
    "a size one more": {"size": 1_001},
    "a size one less": {"size": 999},
    "no size": {"size": 0},
    "a negative size": {"size": -1_000},
}
OTHER_PARTS: dict[str, dict[str, Any]] = {
    "another blob": {"blob_id": UUID(int=1)},
    "an abandoned attempt at the part": {"blob_id": UUID(int=1), "commitment": bytes(32)},
    "another generation": {"key_generation": 5},
    "an earlier generation": {"key_generation": 3},
    "another commitment": {"commitment": bytes(32)},
    "a commitment cut short": {"commitment": bytes([0xB]) * 31},
    "a commitment too long": {"commitment": bytes([0xB]) * 33},
    "no bytes": {"plain_length": 0},
    "a byte more": {"plain_length": 2},
}


def parts(count: int, plain: int = 1) -> list[PartClaim]:
    return [PartClaim(UUID(int=n), 1, plain, n.to_bytes(32, "big")) for n in range(count)]


def stands(claim: FileClaim, record: bytes, key: bytes = KEY) -> bool:
    try:
        check(record, key, claim)
    except IntegrityError:
        return False
    return True


@st.composite
def claims(draw: Callable[[st.SearchStrategy[Any]], Any]) -> FileClaim:
    count = draw(st.integers(1, 6))
    part = st.builds(
        PartClaim, st.uuids(), st.integers(1, 9), st.integers(1, 1 << 40), st.binary(min_size=32, max_size=32)
    )
    some = draw(st.lists(part, min_size=count, max_size=count))
    scope = draw(st.one_of(st.just("none"), st.uuids().map(lambda case: f"case:{case.hex}")))
    digest = draw(st.binary(min_size=32, max_size=32))
    return FileClaim(draw(st.uuids()), draw(st.uuids()), scope, sum(p.plain_length for p in some), digest, some)


@given(claim=claims(), key=st.binary(min_size=32, max_size=32))
def test_a_record_stands_for_the_claim_it_was_made_of(claim: FileClaim, key: bytes) -> None:
    record = make(key, claim)
    assert len(record) == 33
    assert record[0] == 1
    assert make(key, claim) == record
    check(record, key, claim)


@given(one=claims(), two=claims())
def test_two_claims_never_share_a_record(one: FileClaim, two: FileClaim) -> None:
    assert (make(KEY, one) == make(KEY, two)) == (one == two)


def test_no_bit_of_a_record_may_flip() -> None:
    whole = int.from_bytes(make(KEY, CLAIM), "big")
    for bit in range(8 * 33):
        with pytest.raises(IntegrityError):
            check((whole ^ 1 << bit).to_bytes(33, "big"), KEY, CLAIM)


def test_a_record_of_another_length_is_refused() -> None:
    record = make(KEY, CLAIM)
    for wrong in [record[:length] for length in range(33)] + [record + b"\0", record * 2, record[1:], b"\0" + record]:
        with pytest.raises(IntegrityError):
            check(wrong, KEY, CLAIM)


def test_another_data_key_checks_no_record() -> None:
    record, whole = make(KEY, CLAIM), int.from_bytes(KEY, "big")
    others = [(whole ^ 1 << bit).to_bytes(32, "big") for bit in range(256)]
    assert stands(CLAIM, record)
    assert [key for key in others if stands(CLAIM, record, key)] == []


@pytest.mark.parametrize("change", OTHER_FILES.values(), ids=OTHER_FILES)
def test_no_field_of_the_file_may_change(change: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError):
        check(make(KEY, CLAIM), KEY, replace(CLAIM, **change))


@pytest.mark.parametrize("change", OTHER_PARTS.values(), ids=OTHER_PARTS)
def test_no_field_of_a_part_may_change(change: dict[str, Any]) -> None:
    changed = (PARTS[0], replace(PARTS[1], **change), PARTS[2])
    size = sum(part.plain_length for part in changed)
    for claimed in (CLAIM.size, size):  # a size that follows the parts is no excuse
        with pytest.raises(IntegrityError):
            check(make(KEY, CLAIM), KEY, replace(CLAIM, parts=changed, size=claimed))


def test_parts_in_another_order_are_refused() -> None:
    record = make(KEY, CLAIM)
    orders = [order for order in itertools.permutations(PARTS) if stands(replace(CLAIM, parts=order), record)]
    assert orders == [PARTS]


@pytest.mark.parametrize("index", range(3))
def test_a_dropped_or_repeated_part_is_refused(index: int) -> None:
    dropped = PARTS[:index] + PARTS[index + 1 :]
    repeated = (*PARTS[:index], PARTS[index], *PARTS[index:])
    overwritten = (*PARTS[:index], PARTS[index - 1], *PARTS[index + 1 :])
    for wrong in (dropped, repeated, overwritten):
        for size in (CLAIM.size, sum(part.plain_length for part in wrong)):
            with pytest.raises(IntegrityError):
                check(make(KEY, CLAIM), KEY, replace(CLAIM, parts=wrong, size=size))


@pytest.mark.parametrize("field", ["blob_id", "key_generation", "plain_length", "commitment"])
def test_parts_may_not_swap_a_field(field: str) -> None:
    one, two, three = PARTS
    swapped = replace(one, **{field: getattr(two, field)}), replace(two, **{field: getattr(one, field)}), three
    with pytest.raises(IntegrityError):
        check(make(KEY, CLAIM), KEY, replace(CLAIM, parts=swapped))


def test_bytes_may_not_move_between_parts() -> None:
    moved = replace(PARTS[0], plain_length=699), replace(PARTS[1], plain_length=2), PARTS[2]
    with pytest.raises(IntegrityError):
        check(make(KEY, CLAIM), KEY, replace(CLAIM, parts=moved))


def test_a_record_of_another_file_is_refused() -> None:
    other = replace(CLAIM, file_id=UUID(int=1))
    assert not stands(CLAIM, make(KEY, other))
    assert not stands(other, make(KEY, CLAIM))


def test_the_empty_file_has_one_empty_part() -> None:
    record = make(KEY, EMPTY)
    assert stands(EMPTY, record)
    assert not stands(replace(EMPTY, parts=[]), record)
    assert not stands(replace(EMPTY, parts=parts(1)), record)
    assert not stands(replace(EMPTY, size=1), record)
    assert not stands(replace(EMPTY, size=1, parts=parts(1)), record)


@pytest.mark.parametrize(
    "claim",
    [
        replace(CLAIM, size=999),
        replace(CLAIM, size=1_001),
        replace(CLAIM, size=0),
        replace(CLAIM, parts=PARTS[:2]),
        replace(CLAIM, parts=[]),
        replace(CLAIM, parts=[], size=0),
        replace(CLAIM, parts=[*PARTS, replace(PARTS[0], plain_length=0)]),
        replace(CLAIM, parts=[*PARTS, replace(PARTS[0], plain_length=-1)], size=999),
        replace(CLAIM, parts=parts(10_001), size=10_001),
        replace(CLAIM, parts=parts(10_001, plain=0), size=0),
        replace(CLAIM, sha256=bytes(31)),
        replace(CLAIM, sha256=bytes(33)),
        replace(CLAIM, parts=[replace(PARTS[0], commitment=bytes(31))], size=700),
    ],
    ids=[
        "parts over the size",
        "parts under the size",
        "parts of an empty file",
        "a part missing",
        "no parts",
        "an empty file of no parts",
        "an empty part of a file that is not empty",
        "a part of negative length",
        "10,001 parts",
        "10,001 empty parts",
        "a short digest",
        "a long digest",
        "a short commitment",
    ],
)
def test_a_claim_that_does_not_add_up_has_no_record_and_passes_none(claim: FileClaim) -> None:
    with pytest.raises(RuntimeError):
        make(KEY, claim)
    with pytest.raises(IntegrityError):
        check(make(KEY, CLAIM), KEY, claim)


def test_a_file_may_have_10_000_parts() -> None:
    claim = replace(CLAIM, parts=parts(10_000), size=10_000)
    check(make(KEY, claim), KEY, claim)


@pytest.mark.parametrize(
    "change",
    [
        {"size": -1},
        {"size": (1 << 44) + 1},
        {"scope": "fälle"},
        {"parts": (replace(PARTS[0], key_generation=0), *PARTS[1:])},
        {"parts": (replace(PARTS[0], key_generation=1 << 32), *PARTS[1:])},
        {"parts": (replace(PARTS[0], plain_length=-5), *PARTS[1:])},
    ],
    ids=str,
)
def test_what_an_edited_row_could_say_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError):
        check(make(KEY, CLAIM), KEY, replace(CLAIM, **change))
