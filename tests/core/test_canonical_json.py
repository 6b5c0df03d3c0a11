"""Canonical JSON: one text for a value, the value from its text alone, and nothing that languages read differently."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.core import canonical_json
from portal.core.canonical_json import DEEPEST, LARGEST

NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
PLAIN = st.none() | st.booleans() | st.integers(-LARGEST, LARGEST) | TEXTS
VALUES = st.recursive(PLAIN, lambda inner: st.lists(inner) | st.dictionaries(NAMES, inner), max_leaves=20)


@given(VALUES)
def test_a_value_comes_back_from_its_text(value: Any) -> None:
    assert canonical_json.decode(canonical_json.encode(value)) == value


@given(st.dictionaries(NAMES, VALUES), st.randoms())
def test_the_order_of_members_does_not_matter(value: dict[str, Any], random: Any) -> None:
    names = list(value)
    random.shuffle(names)
    assert canonical_json.encode({name: value[name] for name in names}) == canonical_json.encode(value)


@given(VALUES, st.sampled_from([{"indent": 1}, {"separators": (", ", ":")}, {"ensure_ascii": True}]))
def test_another_spelling_of_a_value_is_refused(value: Any, spelling: dict[str, Any]) -> None:
    as_told: dict[str, Any] = {"separators": (",", ":"), "sort_keys": True, "ensure_ascii": False} | spelling
    other, text = json.dumps(value, **as_told).encode(), canonical_json.encode(value)
    if other != text:
        with pytest.raises(ValueError):
            canonical_json.decode(other)


def test_texts_are_escaped_as_rfc_8785_has_them() -> None:
    text = '\u20ac$\u000f\nA\'B"\\\\"/\u007f\u2028\U0001f600'  # of its 3.2.2.2, and what other encoders escape
    expected = '"\u20ac$\\u000f\\nA\'B\\"\\\\\\\\\\"/\u007f\u2028\U0001f600"'
    assert canonical_json.encode(text) == expected.encode()


@pytest.mark.parametrize(
    "value",
    [
        *(1.5, 1e3, float("nan"), float("inf"), LARGEST + 1, -LARGEST - 1, 10**400),
        *({"A": 1}, {"é": 1}, {"a b": 1}, {"": 1}, {"1": 1}, {1: 1}),
        *("\ud800", b"bytes", object(), {"a": [{"b": 0.5}]}),
    ],
)
def test_what_is_no_canonical_json_has_no_text(value: Any) -> None:
    with pytest.raises(ValueError):
        canonical_json.encode(value)


@pytest.mark.parametrize(
    "text",
    [
        *(b"", b"{", b"nul", b"[1.0]", b"[1e3]", b"[-0]", b"[01]", b"NaN", b"[9007199254740992]"),
        *(b'{"a":1,"a":1}', b'{"b":1,"a":1}', b'{"a": 1}', b' {"a":1}', b'{"a":1} ', b'"\\u0041"', b'"\\/"'),
        *(b'"\xff"', b'"\\ud800"', b"\xef\xbb\xbf{}", b"[" * 100_000, b'{"a":' * 100_000),
    ],
)
def test_any_other_text_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError):
        canonical_json.decode(text)


def test_a_value_is_nested_only_so_deep() -> None:
    deep: Any = []
    for _ in range(DEEPEST - 1):
        deep = [deep]
    assert canonical_json.decode(canonical_json.encode(deep)) == deep
    with pytest.raises(ValueError, match="deep"):
        canonical_json.encode([deep])
