"""One AES-GCM ciphertext that opens under two keys: why a blob commits to its key.

GCM's tag is linear in the ciphertext. With two keys in hand, one free block makes their tags meet:
tag = E(K, J0) ^ c_1·H^(m+1) ^ … ^ c_m·H^2 ^ length·H in GF(2^128), so c_m = (tag_one ^ tag_two) / (H_one^2 ^ H_two^2),
both tags taken with c_m = 0. Blocks are big-endian integers: GCM's bit order puts x^0 first.
"""

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

BLOCK = 16
_ONE = 1 << 127
_REDUCE = 0xE1 << 120


def ciphertext_for_both(one: bytes, two: bytes, nonce: bytes, first: bytes, second: bytes) -> bytes:
    """48 bytes and a tag that both keys accept: plaintext[0:16] is `first` under one, [16:32] is `second` under two."""
    chosen = AESGCM(one).encrypt(nonce, first, None)[:BLOCK]
    chosen += AESGCM(two).encrypt(nonce, bytes(BLOCK) + second, None)[BLOCK : 2 * BLOCK]
    apart = _tag(one, nonce, chosen + bytes(BLOCK)) ^ _tag(two, nonce, chosen + bytes(BLOCK))
    squares = _times(_hash_key(one), _hash_key(one)) ^ _times(_hash_key(two), _hash_key(two))
    ciphertext = chosen + _times(apart, _inverse(squares)).to_bytes(BLOCK, "big")
    return ciphertext + _tag(one, nonce, ciphertext).to_bytes(BLOCK, "big")


def _tag(key: bytes, nonce: bytes, ciphertext: bytes) -> int:
    """GCM's tag over whole blocks, without associated data."""
    hash_key, total = _hash_key(key), 0
    for start in range(0, len(ciphertext), BLOCK):
        total = _times(total ^ int.from_bytes(ciphertext[start : start + BLOCK], "big"), hash_key)
    return _times(total ^ 8 * len(ciphertext), hash_key) ^ _encrypt_block(key, nonce + b"\0\0\0\x01")


def _hash_key(key: bytes) -> int:
    return _encrypt_block(key, bytes(BLOCK))


def _encrypt_block(key: bytes, block: bytes) -> int:
    encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305 - one block: GCM's own building stone
    return int.from_bytes(encryptor.update(block), "big")


def _times(x: int, y: int) -> int:
    product = 0
    for bit in range(127, -1, -1):
        if x >> bit & 1:
            product ^= y
        y = y >> 1 ^ (_REDUCE if y & 1 else 0)
    return product


def _inverse(x: int) -> int:
    """x^(2^128 - 2): every element but 0 has order dividing 2^128 - 1."""
    result, square = _ONE, x
    for _ in range(127):
        square = _times(square, square)
        result = _times(result, square)
    return result
