"""Signed documents: one line of canonical JSON with its own signature (`docs/receipts.md`). No I/O, no settings.

Comes in: a type word, a payload and a private half; or a text and the public halves that are trusted. Leaves: the
text; or what it says, if one of these keys signed exactly that. Next: `keys` has the halves, `portal receipt verify`.
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from portal.core import canonical_json
from portal.core.errors import IntegrityError, Unprocessable
from portal.crypto import ed25519

FORMAT: Final = "portal-signed-1"
_TYPE = re.compile(r"[a-z][a-z-]{0,62}[a-z]", re.ASCII)
_MEMBERS = {"format", "kid", "payload", "signature", "type"}


class NotSigned(Unprocessable):
    code, title = "not_signed", "The document was changed, or none of the given keys signed it."


@dataclass(frozen=True, slots=True)
class SignedDocument:
    """What a verified document says: its type, the key that signed it, its payload."""

    type: str
    kid: str
    payload: dict[str, Any]


def thumbprint(public: bytes) -> str:
    """The id of a key: the SHA-256 of its JWK (RFC 7638, RFC 8037 A.3), so that nobody gives a key another's id."""
    members = canonical_json.encode({"crv": "Ed25519", "kty": "OKP", "x": to_base64url(public)})
    return to_base64url(sha256(members).digest())


def signed(type_: str, payload: Mapping[str, Any], private: bytes) -> bytes:
    """The text of a document. The signature is over the same text without `signature`: so a signature of one type is
    none of another. Raises ValueError for a payload that has no canonical JSON.
    """
    if _TYPE.fullmatch(type_) is None:
        raise ValueError(f"{type_!r} is no type of a document")
    kid = thumbprint(ed25519.public_of(private))
    document = {"format": FORMAT, "kid": kid, "payload": dict(payload), "type": type_}
    signature = ed25519.sign(private, canonical_json.encode(document))
    return canonical_json.encode(document | {"signature": to_base64url(signature)})


def verified(text: bytes, public_halves: Mapping[str, bytes]) -> SignedDocument:
    """What the document says. Any changed byte is refused, but for a line feed at its end.

    `public_halves` are the trusted keys by their ids. Raises NotSigned.
    """
    try:
        document = canonical_json.decode(text.removesuffix(b"\n"))
        found = _document(document)
        signature = from_base64url(document.pop("signature"))
        ed25519.require_signed(public_halves[found.kid], canonical_json.encode(document), signature)
    except (ValueError, KeyError, IntegrityError):
        raise NotSigned from None
    return found


def public_halves(text: bytes) -> dict[str, bytes]:
    """The public halves in a file, by id: a JWK set as the portal publishes it, one JWK, or PEM. Raises ValueError."""
    if text.lstrip().startswith(b"-----BEGIN"):
        found = [ed25519.public_from_pem(text)]
    else:
        try:
            found = [_of_jwk(jwk) for jwk in _jwks(json.loads(text))]
        except (AttributeError, KeyError, TypeError, RecursionError):
            raise ValueError("neither a JWK set nor a JWK nor PEM") from None
    return {thumbprint(public): public for public in found}


def to_base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def from_base64url(text: str) -> bytes:
    """The inverse of `to_base64url`. Raises ValueError for any other spelling of the same bytes."""
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        raise ValueError("no base64url") from None
    if to_base64url(data) != text:
        raise ValueError("no base64url")
    return data


def _document(document: Any) -> SignedDocument:
    """Raises ValueError unless the members of a document are those of this format."""
    if not isinstance(document, dict) or set(document) != _MEMBERS or document["format"] != FORMAT:
        raise ValueError("no signed document of this format")
    texts = [document[name] for name in ("type", "kid", "signature")]
    if not all(isinstance(text, str) for text in texts) or not isinstance(document["payload"], dict):
        raise ValueError("no signed document of this format")
    return SignedDocument(document["type"], document["kid"], document["payload"])


def _jwks(value: Any) -> list[Any]:
    return [jwk for jwk in value.get("keys", [value]) if jwk["kty"] == "OKP" and jwk["crv"] == "Ed25519"]


def _of_jwk(jwk: Any) -> bytes:
    """The public half. Raises ValueError for a wrong length, and for an id that is another key's."""
    public = from_base64url(jwk["x"])
    if len(public) != 32 or jwk.get("kid", thumbprint(public)) != thumbprint(public):
        raise ValueError("a JWK that is no Ed25519 key, or has another one's id")
    return public
