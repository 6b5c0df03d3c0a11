"""Ed25519 signatures (RFC 8032). Keys and signatures are raw bytes: 32, 32 and 64.

Comes in: a private half and a message, or a public half and a signature. Leaves: a signature, or a refusal. Next:
`features/signing`.
"""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from portal.core.errors import IntegrityError


def new_private() -> bytes:
    return Ed25519PrivateKey.generate().private_bytes_raw()


def public_of(private: bytes) -> bytes:
    return Ed25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def sign(private: bytes, message: bytes) -> bytes:
    return Ed25519PrivateKey.from_private_bytes(private).sign(message)


def require_signed(public: bytes, message: bytes, signature: bytes) -> None:
    """Raises IntegrityError unless `signature` is one of `message` by the private half of `public`."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        raise IntegrityError from None


def public_from_pem(text: bytes) -> bytes:
    """The public half in a PEM text (`BEGIN PUBLIC KEY`). Raises ValueError for any other text or kind of key."""
    try:
        key = load_pem_public_key(text)
    except Exception:  # noqa: BLE001  # the library has several, and for an unknown curve one of its own
        raise ValueError("no public key in PEM") from None
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError("no Ed25519 key")  # noqa: TRY004  # of the text
    return key.public_bytes_raw()
