"""Digests as clients send them: a SHA-256 is found however it is written, and nothing is taken unverified."""

import base64
import hashlib
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.core.errors import InvalidInput
from portal.web import digests
from portal.web.digests import refuse_digests, repr_digest

DIGEST = sha256(b"content").digest()
B64 = base64.b64encode(DIGEST).decode()
OTHER = base64.b64encode(sha256(b"another").digest()).decode()
MD5 = base64.b64encode(hashlib.md5(b"content", usedforsecurity=False).digest()).decode()


def announced_digest(header: str) -> bytes | None:
    return digests.announced_digest([("repr-digest", header)])


@given(st.binary(min_size=32, max_size=32))
def test_a_digest_that_we_write_is_read_back(digest: bytes) -> None:
    assert announced_digest(repr_digest(digest)) == digest


def test_the_digest_is_written_as_the_rfc_shows_it() -> None:
    assert repr_digest(sha256(b'{"hello": "world"}\n').digest()) == (
        "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:"
    )


@pytest.mark.parametrize(
    "header",
    [f"sha-256=:{B64}:", f" sha-256=:{B64}: ", f"sha-512=:AAAA:, sha-256=:{B64}:", f"sha-256=:{B64}:,md5=:AA==:"],
)
def test_a_digest_is_found_among_others(header: str) -> None:
    assert announced_digest(header) == DIGEST


@pytest.mark.parametrize("header", ["sha-512=:AAAA:", "md5=:AA==:,unixsum=:AA==:", "sha-2567=:AAAA:"])
def test_a_digest_of_another_kind_alone_is_refused(header: str) -> None:
    with pytest.raises(InvalidInput, match="Repr-Digest cannot be verified"):
        announced_digest(header)


ANNOUNCED: dict[str, list[tuple[str, str]]] = {
    "Repr-Digest in capitals": [("Repr-Digest", f"SHA-256=:{B64}:")],
    "Content-Digest": [("content-digest", f"sha-256=:{B64}:")],
    "Digest of RFC 3230": [("digest", f"SHA-256={B64},unixsum=30637")],
    "S3's checksum": [("x-amz-checksum-sha256", B64)],
    "S3's signed payload": [("x-amz-content-sha256", DIGEST.hex())],
    "Artifactory's": [("x-checksum-sha256", DIGEST.hex().upper())],
    "several, and one that needs no look": [
        ("content-md5", MD5),
        ("repr-digest", f"sha-256=:{B64}:"),
        ("x-amz-content-sha256", DIGEST.hex()),
    ],
    "on lines of their own": [("repr-digest", "sha-512=:AAAA:"), ("repr-digest", f"sha-256=:{B64}:")],
}
UNVERIFIABLE: dict[str, list[tuple[str, str]]] = {
    "Content-MD5": [("content-md5", MD5)],
    "Azure's": [("x-ms-blob-content-md5", MD5)],
    "Google's": [("x-goog-hash", f"md5={MD5}")],
    "ownCloud's": [("oc-checksum", "SHA1:ff")],
    "S3's CRC": [("x-amz-checksum-crc32", "AAAAAA==")],
    "S3's SHA-1": [("x-amz-checksum-sha1", "AAAA")],
    "S3's chunks": [("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD")],
    "Digest of another kind": [("digest", f"MD5={MD5}")],
    "Digest written as Repr-Digest": [("digest", f"sha-256=:{B64}:")],
    "Content-Digest of another kind": [("content-digest", "sha-512=:AAAA:")],
    "two that differ": [("repr-digest", f"sha-256=:{B64}:"), ("content-digest", f"sha-256=:{OTHER}:")],
    "behind the body": [("trailer", "X-Other, Repr-Digest")],
    "behind the body, S3's": [("x-amz-trailer", "x-amz-checksum-crc32")],
}
SILENT: dict[str, list[tuple[str, str]]] = {
    "nothing": [],
    "an empty one": [("repr-digest", "")],
    "S3's unsigned payload": [("x-amz-content-sha256", "UNSIGNED-PAYLOAD")],
    "the name of an algorithm": [("x-amz-checksum-algorithm", "SHA256"), ("x-amz-sdk-checksum-algorithm", "SHA256")],
    "what is wanted of the answer": [("want-repr-digest", "sha-256=9")],
    "another trailer": [("trailer", "X-Other")],
}


@pytest.mark.parametrize("headers", ANNOUNCED.values(), ids=ANNOUNCED)
def test_a_sha_256_is_found_however_it_is_sent(headers: list[tuple[str, str]]) -> None:
    assert digests.announced_digest(headers) == DIGEST


@pytest.mark.parametrize("headers", UNVERIFIABLE.values(), ids=UNVERIFIABLE)
def test_what_cannot_be_verified_is_refused(headers: list[tuple[str, str]]) -> None:
    with pytest.raises(InvalidInput):
        digests.announced_digest(headers)


@pytest.mark.parametrize("headers", SILENT.values(), ids=SILENT)
def test_what_is_no_digest_announces_none(headers: list[tuple[str, str]]) -> None:
    assert digests.announced_digest(headers) is None
    refuse_digests(headers, "say it elsewhere")


@pytest.mark.parametrize("headers", [*ANNOUNCED.values(), *UNVERIFIABLE.values()], ids=[*ANNOUNCED, *UNVERIFIABLE])
def test_around_a_form_every_digest_is_refused(headers: list[tuple[str, str]]) -> None:
    with pytest.raises(InvalidInput):
        refuse_digests(headers, "say it elsewhere")


@pytest.mark.parametrize(
    "header",
    [
        "sha-256=::",
        f"sha-256=:{B64}:, sha-256=:{B64}:;p=1",
        "sha-256=:AAAA:",
        f"sha-256=:{B64[:-1]}:",
        f"sha-256=:{B64[:-4]}:",
        f"sha-256=:{B64}",
        f"sha-256={B64}",
        f"sha-256=:{DIGEST.hex()}:",
        f"sha-256=:{B64}:;x=1",
        f"sha-256=:{B64}:,sha-256=:{B64}:",
        "sha-256=?1",
        f"sha-256=:{B64[:10]} {B64[10:]}:",
        "sha-256=:" + "=" * 44 + ":",
        "sha-256=:" + "A" * 100_000 + ":",
    ],
)
def test_a_digest_that_is_none_is_refused_and_not_ignored(header: str) -> None:
    with pytest.raises(InvalidInput):
        announced_digest(header)


@given(st.text(max_size=40) | st.text(st.sampled_from("sha-256=:,AQ/+;"), max_size=60).map("sha-256=".__add__))
def test_any_digest_header_is_32_bytes_or_none_or_refused(header: str) -> None:
    try:
        digest = announced_digest(header)
    except InvalidInput:
        return
    assert digest is None or len(digest) == 32
