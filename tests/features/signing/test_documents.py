"""Signed documents: exactly what was signed is verified, by exactly the key that signed it."""

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from portal.core import canonical_json
from portal.crypto import ed25519
from portal.features.signing.documents import (
    NotSigned,
    from_base64url,
    public_halves,
    signed,
    thumbprint,
    to_base64url,
    verified,
)

PRIVATE = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")  # RFC 8032 7.1, RFC 8037 A
PUBLIC = ed25519.public_of(PRIVATE)
KID = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
TRUSTED = {KID: PUBLIC}
PAYLOAD = {"files": [{"size": 3, "sha256": "ab" * 32}], "note": "Straße", "to": None}
TEXT = signed("test-document", PAYLOAD, PRIVATE)
JWK = {"kty": "OKP", "crv": "Ed25519", "x": to_base64url(PUBLIC)}


def resigned(**changes: Any) -> bytes:
    """A document with other members, signed all the same."""
    document = json.loads(TEXT) | changes
    signature = ed25519.sign(PRIVATE, canonical_json.encode({k: v for k, v in document.items() if k != "signature"}))
    return canonical_json.encode(document | {"signature": to_base64url(signature)})


def test_a_document_says_what_was_signed() -> None:
    found = verified(TEXT, TRUSTED)
    assert (found.type, found.kid, found.payload) == ("test-document", KID, PAYLOAD)
    assert verified(TEXT + b"\n", TRUSTED) == found


def test_the_id_of_a_key_is_the_thumbprint_of_rfc_8037() -> None:
    assert thumbprint(PUBLIC) == KID


@given(st.integers(0, len(TEXT) - 1), st.integers(1, 255))
def test_any_changed_byte_is_refused(place: int, change: int) -> None:
    changed = bytearray(TEXT)
    changed[place] ^= change
    with pytest.raises(NotSigned):
        verified(bytes(changed), TRUSTED)


@given(st.integers(0, len(TEXT)), st.binary(min_size=1, max_size=4))
def test_any_added_byte_is_refused(place: int, added: bytes) -> None:
    changed = TEXT[:place] + added + TEXT[place:]
    if changed not in {TEXT, TEXT + b"\n"}:
        with pytest.raises(NotSigned):
            verified(changed, TRUSTED)


@given(st.integers(0, len(TEXT) - 1))
def test_a_cut_document_is_refused(end: int) -> None:
    with pytest.raises(NotSigned):
        verified(TEXT[:end], TRUSTED)


@given(st.binary(max_size=200))
def test_anything_else_is_refused(text: bytes) -> None:
    with pytest.raises(NotSigned):
        verified(text, TRUSTED)


@pytest.mark.parametrize(
    "changes",
    [
        *({"format": "portal-signed-2"}, {"payload": []}, {"payload": "x"}, {"type": 1}, {"kid": 1}, {"kid": ["a"]}),
        {"also": 1},
    ],
)
def test_another_format_is_refused_although_it_is_signed(changes: dict[str, Any]) -> None:
    with pytest.raises(NotSigned):
        verified(resigned(**changes), TRUSTED)


@pytest.mark.parametrize("missing", ["format", "kid", "payload", "signature", "type"])
def test_a_document_without_a_member_is_refused(missing: str) -> None:
    document = json.loads(TEXT)
    del document[missing]
    with pytest.raises(NotSigned):
        verified(canonical_json.encode(document), TRUSTED)


def test_a_signature_of_one_type_is_none_of_another() -> None:
    for other in (json.loads(TEXT) | {"type": "another-document"}, json.loads(TEXT) | {"signature": ""}):
        with pytest.raises(NotSigned):
            verified(canonical_json.encode(other), TRUSTED)


def test_a_key_that_is_not_trusted_is_refused_also_under_a_trusted_id() -> None:
    other = ed25519.new_private()
    text = signed("test-document", PAYLOAD, other)
    posing = canonical_json.encode(json.loads(text) | {"kid": KID})
    for forged in (text, posing):
        with pytest.raises(NotSigned):
            verified(forged, TRUSTED)


@pytest.mark.parametrize("type_", ["", "Upper", "two words", "a", "x" * 65, "-a", "a-", "a\n"])
def test_a_type_is_one_plain_word(type_: str) -> None:
    with pytest.raises(ValueError, match="type"):
        signed(type_, {}, PRIVATE)


def test_public_halves_are_read_from_a_set_a_jwk_and_pem() -> None:
    pem = Ed25519PublicKey.from_public_bytes(PUBLIC).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    others = [{"kty": "RSA", "n": "AQ", "e": "AQAB"}, {"kty": "OKP", "crv": "X25519", "x": "AA"}]
    for text in (json.dumps({"keys": [*others, JWK]}), json.dumps(JWK), json.dumps(JWK | {"kid": KID}), pem.decode()):
        assert public_halves(text.encode()) == TRUSTED


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "1", "{}", '{"keys":1}', '{"keys":[1]}', '{"keys":[{}]}', "[" * 100_000),
        *(json.dumps(JWK | {"x": x}) for x in ("", "AA", 1, JWK["x"] + "=", JWK["x"][:-1] + "p")),
        json.dumps(JWK | {"kid": "another"}),
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        X25519PrivateKey.from_private_bytes(PRIVATE)
        .public_key()
        .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        .decode(),
    ],
)
def test_what_holds_no_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        public_halves(text.encode())


@given(st.binary(max_size=70))
def test_base64url_has_one_spelling(data: bytes) -> None:
    text = to_base64url(data)
    assert from_base64url(text) == data
    others = {text + "=", text + "\n", " " + text, base64.urlsafe_b64encode(data).decode()} - {text}
    for other in others:
        with pytest.raises(ValueError, match="base64url"):
            from_base64url(other)
