"""Secrets: they never show themselves, parse from two notations, and give one key for each purpose."""

import base64
import string
import traceback
from dataclasses import dataclass
from typing import NoReturn

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from portal.core.secrets import PurposeKey, Secret, parse_key, purpose_keys

CANARY = b"canary-0123456789-canary-9876543"
RAW = bytes(range(32))
PURPOSES = ("access token", "cursor", "idempotency")


@dataclass
class Holder:
    secret: Secret


def fail_with(secret: Secret) -> NoReturn:
    raise ValueError(secret)


def shows(text: str) -> bool:
    return "canary" in text or CANARY.hex() in text


def test_a_secret_shows_only_when_asked() -> None:
    secret = Secret(CANARY)
    assert secret.reveal() == CANARY
    for text in (repr(secret), str(secret), f"{secret}", f"{secret!r}", f"{secret!a:>9}", "%s %r" % (secret, secret)):  # noqa: UP031  # one of the ways it could leak
        assert "***" in text
        assert not shows(text)


def test_a_secret_stays_hidden_inside_other_things() -> None:
    secret = Secret(CANARY)
    for thing in ([secret], {"key": secret}, {secret: 1}, Holder(secret), PurposeKey("kid", secret)):
        assert not shows(repr(thing))


def test_a_traceback_with_its_local_variables_does_not_show_it() -> None:
    with pytest.raises(ValueError, match=r"\*") as caught:
        fail_with(Secret(CANARY))
    told = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
    assert "secret = ***" in told
    assert not shows(told)


def test_a_secret_cannot_be_read_through_its_dict_or_length() -> None:
    assert not hasattr(Secret(CANARY), "__dict__")
    with pytest.raises(TypeError):
        len(Secret(CANARY))  # type: ignore[arg-type]


def test_secrets_compare_by_value_and_only_with_secrets() -> None:
    assert Secret(RAW) == Secret(RAW)
    assert hash(Secret(RAW)) == hash(Secret(RAW))
    assert Secret(RAW) != Secret(CANARY)
    assert Secret(RAW) != RAW


@pytest.mark.parametrize(
    "text",
    [
        RAW.hex(),
        RAW.hex().upper(),
        base64.b64encode(RAW).decode(),
        f"  {RAW.hex()}\n",
        f"\t{base64.b64encode(RAW).decode()} \r\n",
    ],
)
def test_a_key_is_64_hex_digits_or_base64(text: str) -> None:
    assert parse_key(text) == Secret(RAW)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "changeme",
        "0" * 63,
        "0" * 65,
        "0x" + "0" * 62,
        "g" * 64,
        RAW.hex()[:32] + " " + RAW.hex()[33:],
        base64.b64encode(RAW[:31]).decode(),
        base64.b64encode(RAW + b"\0").decode(),
        base64.b64encode(RAW).decode().rstrip("="),
        base64.urlsafe_b64encode(b"\xff" * 32).decode(),
        base64.b64encode(RAW).decode() + "!",
        "\N{FULLWIDTH DIGIT ONE}" * 64,
        "\N{ARABIC-INDIC DIGIT ONE}" * 64,
        "é" * 44,
        "\0" * 32,
        "\ud800",
    ],
)
def test_anything_else_is_no_key(text: str) -> None:
    assert parse_key(text) is None


@given(st.binary(max_size=80))
def test_base64_is_a_key_exactly_when_it_holds_32_bytes(raw: bytes) -> None:
    parsed = parse_key(base64.b64encode(raw).decode())
    assert parsed == (Secret(raw) if len(raw) == 32 else None)


@given(st.text(max_size=80))
def test_no_text_makes_parsing_fail(text: str) -> None:
    parsed = parse_key(text)
    assert parsed is None or len(parsed.reveal()) == 32


def test_purpose_keys_are_these_for_ever() -> None:
    (key,) = purpose_keys([Secret(RAW)], "access token")
    assert key.kid == "d40d5ba55995c495"
    assert key.key.reveal().hex() == "d910146a667378dac8f332f5149c9e0515ddab2aff7eba07f86a004d0f495fd7"


@pytest.mark.parametrize("purpose", PURPOSES)
def test_purpose_keys_are_hkdf_sha256(purpose: str) -> None:
    (key,) = purpose_keys([Secret(RAW)], purpose)
    hkdf = HKDF(algorithm=SHA256(), length=32, salt=None, info=f"portal key {purpose}".encode())
    assert key.key.reveal() == hkdf.derive(RAW)


def test_every_purpose_and_every_secret_has_a_key_and_a_kid_of_its_own() -> None:
    secrets = [Secret(RAW), Secret(CANARY), Secret(bytes(32))]
    made = [key for purpose in PURPOSES for key in purpose_keys(secrets, purpose)]
    assert len({key.key.reveal() for key in made}) == len({key.kid for key in made}) == 9


def test_purpose_keys_keep_the_order_of_the_secrets() -> None:
    one, two = Secret(RAW), Secret(CANARY)
    assert purpose_keys([one, two], "x") == purpose_keys([one], "x") + purpose_keys([two], "x")
    assert purpose_keys([], "x") == ()


def test_a_kid_is_16_hex_digits_and_no_part_of_a_key() -> None:
    for purpose in PURPOSES:
        (key,) = purpose_keys([Secret(RAW)], purpose)
        assert len(key.kid) == 16
        assert set(key.kid) <= set(string.hexdigits)
        assert key.kid not in key.key.reveal().hex() + RAW.hex()
