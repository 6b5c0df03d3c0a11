"""Digests that a client sends with a file. What says SHA-256 is compared with the bytes; what cannot be is refused.

Comes in: headers. Leaves: the SHA-256 that they announce, or InvalidInput. Nothing is taken unverified that came with a
digest; beside a SHA-256 that is right, others need no look.
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Iterator

from portal.core.errors import InvalidInput

_DIGEST_BYTES = 32
_BLANK = " \t"
_HEX = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)
_NOT_OF_THE_BYTES = ("UNSIGNED-PAYLOAD",)  # of X-Amz-Content-SHA256: no digest at all
_OTHERS = re.compile(r"(content|x-ms-blob-content|x-ms-content)-md5|x-goog-hash|oc-checksum|x-(amz-)?checksum-.+")
_ABOUT_DIGESTS = ("x-amz-checksum-algorithm", "x-amz-checksum-type", "x-amz-checksum-mode", "x-checksum-deploy")

_TRAILERS = ("trailer", "x-amz-trailer")

Headers = Iterable[tuple[str, str]]


def repr_digest(sha256: bytes) -> str:
    """The Repr-Digest of a file (RFC 9530 §3)."""
    return f"sha-256=:{base64.b64encode(sha256).decode()}:"


def announced_digest(headers: Headers) -> bytes | None:
    """The SHA-256 of the bytes that follow; None where no digest is announced. Raises InvalidInput."""
    found = list(_digests(headers))
    named = {digest for _, digest in found if digest is not None}
    if len(named) > 1:
        raise InvalidInput("The request announces two different SHA-256 digests.")
    if found and not named:
        raise InvalidInput(f"{found[0][0]} cannot be verified here: send Repr-Digest: sha-256=:<base64>:.")
    return next(iter(named), None)


def refuse_digests(headers: Headers, instead: str) -> None:
    """For a body that is not the file itself. Raises InvalidInput."""
    for name, _ in _digests(headers):
        raise InvalidInput(f"{name} would be of the whole body: {instead}.")


def _digests(headers: Headers) -> Iterator[tuple[str, bytes | None]]:
    """Every digest: the header it stands in, and the bytes if it is a SHA-256."""
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
    """`sha-256=:<base64>:` (RFC 9530), or `SHA-256=<base64>` (RFC 3230); other algorithms are none that we know."""
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
