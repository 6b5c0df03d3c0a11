"""The digests that a client sends in the headers of an upload.

Comes in: headers. Leaves: the announced SHA-256, which is later compared with the bytes; or InvalidInput.
No upload with a digest is accepted unverified: a digest of another algorithm alone is refused. Beside a SHA-256,
digests of other algorithms are ignored.
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Iterator

from portal.core.errors import InvalidInput

_DIGEST_BYTES = 32
_BLANK = " \t"
_HEX = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)
_NOT_OF_THE_BYTES = ("UNSIGNED-PAYLOAD",)  # values of X-Amz-Content-SHA256 that mean "no digest"
_OTHERS = re.compile(r"(content|x-ms-blob-content|x-ms-content)-md5|x-goog-hash|oc-checksum|x-(amz-)?checksum-.+")
_ABOUT_DIGESTS = ("x-amz-checksum-algorithm", "x-amz-checksum-type", "x-amz-checksum-mode", "x-checksum-deploy")

_TRAILERS = ("trailer", "x-amz-trailer")

Headers = Iterable[tuple[str, str]]


def repr_digest(sha256: bytes) -> str:
    """The value of the Repr-Digest header (RFC 9530 §3): `sha-256=:<base64>:`."""
    return f"sha-256=:{base64.b64encode(sha256).decode()}:"


def announced_digest(headers: Headers) -> bytes | None:
    """The announced SHA-256 of the body (32 bytes); None if no digest is announced.

    Raises InvalidInput for a malformed digest, two different ones, a digest in a trailer, or only other algorithms.
    """
    found = list(_digests(headers))
    named = {digest for _, digest in found if digest is not None}
    if len(named) > 1:
        raise InvalidInput("The request announces two different SHA-256 digests.")
    if found and not named:
        raise InvalidInput(f"{found[0][0]} cannot be verified here: send Repr-Digest: sha-256=:<base64>:.")
    return next(iter(named), None)


def refuse_digests(headers: Headers, instead: str) -> None:
    """Refuse digest headers on a body that is not the file itself (a form). Raises InvalidInput if there is one.

    `instead` completes the message: where the client should send the digest.
    """
    for name, _ in _digests(headers):
        raise InvalidInput(f"{name} would be of the whole body: {instead}.")


def _digests(headers: Headers) -> Iterator[tuple[str, bytes | None]]:
    """Every announced digest as (header name, its 32 bytes); None instead of bytes for an algorithm but SHA-256."""
    joined: dict[str, list[str]] = {}
    for name, value in headers:
        joined.setdefault(name.lower(), []).append(value)
    for name, values in joined.items():
        value = ",".join(values).strip(_BLANK)
        if name in _READERS:
            yield from ((_titled(name), digest) for digest in _READERS[name](_titled(name), value))
        elif _OTHERS.fullmatch(name) and name not in _ABOUT_DIGESTS:
            yield _titled(name), None
        elif name in _TRAILERS and any(_is_digest(field.strip(_BLANK).lower()) for field in value.split(",")):
            raise InvalidInput("A digest that comes behind the body cannot be verified: send it in the head.")


def _is_digest(name: str) -> bool:
    return name in _READERS or _OTHERS.fullmatch(name) is not None


def _members(header: str, value: str) -> Iterator[bytes | None]:
    """The members of `sha-256=:<base64>:` (RFC 9530) or `SHA-256=<base64>` (RFC 3230); None for another algorithm."""
    colon = "" if header == "Digest" else ":"
    seen = 0
    for member in filter(None, (member.strip(_BLANK) for member in value.split(","))):
        algorithm, _, encoded = member.partition("=")
        if algorithm.lower() != "sha-256":
            yield None
            continue
        seen += 1
        inside = encoded[1:-1] if colon else encoded
        if seen > 1 or encoded != f"{colon}{inside}{colon}":
            raise InvalidInput(f"{header} has no sha-256 of 32 bytes, or has it twice.")
        yield _decoded(header, inside)


def _base64(header: str, value: str) -> Iterator[bytes]:
    yield _decoded(header, value)


def _hex(header: str, value: str) -> Iterator[bytes]:
    if value in _NOT_OF_THE_BYTES:
        return
    if not _HEX.fullmatch(value):
        raise InvalidInput(f"{header} is a SHA-256 in 64 hex digits: another cannot be verified here.")
    yield bytes.fromhex(value)


def _decoded(header: str, encoded: str) -> bytes:
    try:
        digest = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    if len(digest) != _DIGEST_BYTES:
        raise InvalidInput(f"{header} has no sha-256 of 32 bytes in base64.")
    return digest


def _titled(name: str) -> str:
    return name.title()


_READERS: dict[str, Callable[[str, str], Iterator[bytes | None]]] = {
    "repr-digest": _members,
    "content-digest": _members,
    "digest": _members,
    "x-amz-checksum-sha256": _base64,
    "x-amz-content-sha256": _hex,
    "x-checksum-sha256": _hex,
}
