"""The format's own vectors: each is recomputed here from the format's text, and each forgery is refused."""

import hashlib
import hmac
import itertools
import json
import struct
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from portal.core.errors import IntegrityError
from portal.crypto import derive, record, wrap
from portal.crypto.blob import plain_length
from portal.crypto.format import BlobContext, check_head, read_context
from portal.crypto.layout import Layout
from portal.crypto.record import FileClaim, PartClaim

from .vectors import make_blob_vectors
from .whole_blob import open_blob, recipe

Vector = dict[str, Any]

VECTORS: dict[str, list[Vector]] = json.loads(make_blob_vectors.PATH.read_text())

UNCOMMITTED = {
    "wrong_commitment",
    "opens_under_two_keys",
    "other_file_key",
    "head_of_another_sealing",
    "bit_flipped_in_commitment",
    "bit_flipped_in_salt",
    "truncated_to_nothing",
    "truncated_in_head",
    "truncated_after_head",
    "truncated_in_stream_header",
}


def each(kind: str, expect: str | None = None) -> Callable[[Callable[..., None]], Any]:
    chosen = [vector for vector in VECTORS[kind] if expect is None or vector["expect"] == expect]
    return pytest.mark.parametrize("vector", chosen, ids=[vector["name"] for vector in chosen])


def raw(vector: Vector, field: str) -> bytes:
    return bytes.fromhex(vector[f"{field}_hex"])


def id_bytes(vector: Vector, field: str) -> bytes:
    return UUID(vector[field]).bytes


def place_of(vector: Vector) -> BlobContext:
    return BlobContext(UUID(vector["file_id"]), UUID(vector["blob_id"]), vector["part"], vector["key_generation"])


# The format once more, from its text alone


def hkdf(key: bytes, salt: bytes, info: bytes, length: int = 32) -> bytes:
    """RFC 5869 for at most one block of output."""
    extracted = hmac.digest(salt or bytes(32), key, hashlib.sha256)
    return hmac.digest(extracted, info + b"\x01", hashlib.sha256)[:length]


def coordinates(vector: Vector) -> bytes:
    numbers = struct.pack(">II", vector["part"], vector["key_generation"])
    return id_bytes(vector, "file_id") + id_bytes(vector, "blob_id") + numbers


def head(vector: Vector, salt: bytes) -> bytes:
    bound = b"SFP1\x01\x01" + bytes([vector["log2_segment"], 0]) + coordinates(vector) + bytes(48)
    return bound + hkdf(raw(vector, "file_key"), salt, b"SFP1 commit" + bound)


def stream(plain: bytes, key: bytes, header: bytes, bound: bytes, segment: int) -> bytes:
    aead = AESGCM(hkdf(key, header[1:33], bound))
    cuts = [0, *range(segment - 56, len(plain), segment - 16), max(len(plain), 1)]
    sealed = header
    for i, (start, end) in enumerate(itertools.pairwise(cuts)):
        nonce = header[33:40] + struct.pack(">IB", i, end >= len(plain))
        sealed += aead.encrypt(nonce, plain[start:end], None)
    return sealed


def open_stream(sealed: bytes, key: bytes, bound: bytes, segment: int) -> bytes:
    """What a reader of streams alone does: no look at the head, and an empty tail is as good as any."""
    if len(sealed) < 56 or sealed[0] != 0x28:
        raise InvalidTag
    aead = AESGCM(hkdf(key, sealed[1:33], bound))
    starts = [40, *range(segment, len(sealed), segment)]
    plain = b""
    for i, start in enumerate(starts):
        nonce = sealed[33:40] + struct.pack(">IB", i, start == starts[-1])
        plain += aead.decrypt(nonce, sealed[start : (i + 1) * segment], None)
    return plain


def message(vector: Vector) -> bytes:
    scope: bytes = vector["scope"].encode()
    start = b"SFP1 file-record\x01" + id_bytes(vector, "file_id") + id_bytes(vector, "data_key_id")
    start += struct.pack(">H", len(scope)) + scope
    start += struct.pack(">IQ", len(vector["parts"]), vector["size"]) + raw(vector, "sha256")
    for part in vector["parts"]:
        numbers = struct.pack(">IQ", part["key_generation"], part["plain_length"])
        start += id_bytes(part, "blob_id") + numbers + raw(part, "commitment")
    return start


# The file


def test_the_committed_vectors_are_what_the_generator_makes() -> None:
    assert make_blob_vectors.text() == make_blob_vectors.PATH.read_text()


@pytest.mark.parametrize("kind", ["heads", "data_keys", "file_keys", "records", "blobs"])
def test_vectors_have_names_of_their_own(kind: str) -> None:
    names = [vector["name"] for vector in VECTORS[kind]]
    assert len(names) == len(set(names))


# Heads


@each("heads")
def test_a_head_is_what_the_format_says(vector: Vector) -> None:
    assert raw(vector, "head") == head(vector, raw(vector, "salt"))


@each("heads")
def test_a_head_is_read_and_checked(vector: Vector) -> None:
    given, context, segment = raw(vector, "head"), place_of(vector), 1 << vector["log2_segment"]
    assert read_context(given, segment) == context
    assert check_head(given, context, segment, raw(vector, "file_key"), raw(vector, "salt")) == given[96:]


# Wraps


@each("data_keys", "opens")
def test_a_wrapped_data_key_is_what_the_format_says(vector: Vector) -> None:
    master, salt, nonce = raw(vector, "master_key"), raw(vector, "salt"), raw(vector, "nonce")
    kid = hkdf(master, b"", b"SFP1 master-key id", 8)
    context = b"SFP1 data-key\x01" + kid + id_bytes(vector, "data_key_id") + vector["scope"].encode()
    sealed = AESGCM(hkdf(master, salt, b"SFP1 data-key wrap")).encrypt(nonce, raw(vector, "data_key"), context)
    assert raw(vector, "kid") == kid == derive.master_key_id(master)
    assert raw(vector, "wrapped") == b"\x01" + kid + salt + nonce + sealed


@each("data_keys", "opens")
def test_a_data_key_check_is_what_the_format_says(vector: Vector) -> None:
    info = b"SFP1 data-key check" + id_bytes(vector, "data_key_id")
    assert raw(vector, "check") == hkdf(raw(vector, "data_key"), b"", info, 16)
    assert raw(vector, "check") == derive.data_key_check(raw(vector, "data_key"), UUID(vector["data_key_id"]))


def unwrapped_data_key(vector: Vector) -> bytes:
    context = wrap.data_key_context(raw(vector, "kid"), UUID(vector["data_key_id"]), vector["scope"])
    return wrap.unwrap_data_key(raw(vector, "wrapped"), raw(vector, "master_key"), context)


@each("data_keys", "opens")
def test_a_wrapped_data_key_opens(vector: Vector) -> None:
    assert unwrapped_data_key(vector) == raw(vector, "data_key")


@each("data_keys", "refused")
def test_a_wrapped_data_key_is_refused(vector: Vector) -> None:
    with pytest.raises(IntegrityError):
        unwrapped_data_key(vector)


@each("file_keys", "opens")
def test_a_wrapped_file_key_is_what_the_format_says(vector: Vector) -> None:
    salt, nonce = raw(vector, "salt"), raw(vector, "nonce")
    aad = b"SFP1 file-key\x01" + coordinates(vector) + id_bytes(vector, "data_key_id")
    aead = AESGCM(hkdf(raw(vector, "data_key"), salt, b"SFP1 file-key wrap"))
    assert raw(vector, "wrapped") == b"\x01" + salt + nonce + aead.encrypt(nonce, raw(vector, "file_key"), aad)


def unwrapped_file_key(vector: Vector) -> bytes:
    data_key, data_key_id = raw(vector, "data_key"), UUID(vector["data_key_id"])
    return wrap.unwrap_file_key(raw(vector, "wrapped"), data_key, data_key_id, place_of(vector))


@each("file_keys", "opens")
def test_a_wrapped_file_key_opens(vector: Vector) -> None:
    assert unwrapped_file_key(vector) == raw(vector, "file_key")


@each("file_keys", "refused")
def test_a_wrapped_file_key_is_refused(vector: Vector) -> None:
    with pytest.raises(IntegrityError):
        unwrapped_file_key(vector)


# Records


def claim_of(vector: Vector) -> FileClaim:
    parts = [
        PartClaim(UUID(part["blob_id"]), part["key_generation"], part["plain_length"], raw(part, "commitment"))
        for part in vector["parts"]
    ]
    ids = UUID(vector["file_id"]), UUID(vector["data_key_id"])
    return FileClaim(*ids, vector["scope"], vector["size"], raw(vector, "sha256"), parts)


@each("records", "opens")
def test_a_record_is_what_the_format_says(vector: Vector) -> None:
    key = hkdf(raw(vector, "data_key"), b"", b"SFP1 file-record")
    assert raw(vector, "record") == b"\x01" + hmac.digest(key, message(vector), hashlib.sha256)


@each("records", "opens")
def test_a_record_stands(vector: Vector) -> None:
    assert record.make(raw(vector, "data_key"), claim_of(vector)) == raw(vector, "record")
    record.check(raw(vector, "record"), raw(vector, "data_key"), claim_of(vector))


@each("records", "refused")
def test_a_record_is_refused(vector: Vector) -> None:
    with pytest.raises(IntegrityError):
        record.check(raw(vector, "record"), raw(vector, "data_key"), claim_of(vector))


# Blobs


def opened(vector: Vector) -> bytes:
    layout = Layout(1 << vector["log2_segment"])
    return open_blob(raw(vector, "blob"), place_of(vector), raw(vector, "file_key"), layout)


@each("blobs", "opens")
def test_a_blob_is_what_the_format_says(vector: Vector) -> None:
    blob, segment = raw(vector, "blob"), 1 << vector["log2_segment"]
    plain = open_stream(blob[128:], raw(vector, "file_key"), blob[:96], segment)
    assert len(plain) == vector["plain_length"]
    assert hashlib.sha256(plain).hexdigest() == vector["plain_sha256"]
    assert blob[:128] == head(vector, blob[129:161])
    assert blob[128] == 0x28
    assert blob[128:] == stream(plain, raw(vector, "file_key"), blob[128:168], blob[:96], segment)


@each("blobs", "opens")
def test_a_blob_opens(vector: Vector) -> None:
    plain = opened(vector)
    assert hashlib.sha256(plain).hexdigest() == vector["plain_sha256"]
    assert plain == recipe(vector["plain_length"]) or vector["name"] == "under_the_first_of_two_keys"


@each("blobs", "refused")
def test_a_blob_is_refused(vector: Vector) -> None:
    with pytest.raises(IntegrityError):
        opened(vector)


@each("blobs", "refused")
def test_a_forgery_has_no_fault_but_the_one_in_its_name(vector: Vector) -> None:
    blob, key = raw(vector, "blob"), raw(vector, "file_key")
    own_segment = 1 << int.from_bytes(blob[6:7])
    if vector["stream_opens"]:
        assert open_stream(blob[128:], key, blob[:96], own_segment)
    else:
        with pytest.raises(InvalidTag):
            open_stream(blob[128:], key, blob[:96], own_segment)


@each("blobs", "refused")
def test_a_forgery_whose_stream_opens_is_not_caught_by_its_length(vector: Vector) -> None:
    if vector["stream_opens"] and vector["name"] != "empty_tail_segment":
        assert plain_length(Layout(256), len(raw(vector, "blob"))) > 0


@each("blobs", "refused")
def test_a_forgery_commits_to_the_key_unless_that_is_its_fault(vector: Vector) -> None:
    blob, key = raw(vector, "blob"), raw(vector, "file_key")
    committed = hkdf(key, blob[129:161], b"SFP1 commit" + blob[:96]) == blob[96:128]
    assert committed == (vector["name"] not in UNCOMMITTED)


def test_the_same_bytes_open_under_two_keys_and_mean_two_things() -> None:
    named = {vector["name"]: vector for vector in VECTORS["blobs"]}
    one, two = named["under_the_first_of_two_keys"], named["opens_under_two_keys"]
    blob = raw(one, "blob")
    assert blob == raw(two, "blob")
    plains = [open_stream(blob[128:], raw(vector, "file_key"), blob[:96], 256) for vector in (one, two)]
    assert plains[0].startswith(b"an honest report")
    assert plains[1][16:32] == b"a forged invoice"
    assert opened(one) == plains[0]
