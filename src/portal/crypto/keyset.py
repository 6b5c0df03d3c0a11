"""A file key as a cleartext Tink JSON keyset, so that any Tink runtime opens an exported stream.

The key in the JSON is an AesGcmHkdfStreamingKey message (Tink's aes_gcm_hkdf_streaming.proto). Its protobuf encoding is
written field by field here: it has only five fields.
"""

import base64
import json

from portal.crypto.derive import KEY_SIZE
from portal.crypto.layout import Layout

_TYPE_URL = "type.googleapis.com/google.crypto.tink.AesGcmHkdfStreamingKey"
_SHA256 = 3  # google.crypto.tink.HashType
_KEY_ID = 1


def keyset_json(file_key: bytes, layout: Layout) -> str:
    """The keyset with one enabled, raw key. It opens the exported `part-N.tink` with `aad-N.bin` as associated data."""
    params = _number(1, layout.segment) + _number(2, KEY_SIZE) + _number(3, _SHA256)
    value = _bytes(2, params) + _bytes(3, file_key)
    key = {
        "keyData": {
            "typeUrl": _TYPE_URL,
            "value": base64.b64encode(value).decode(),
            "keyMaterialType": "SYMMETRIC",
        },
        "status": "ENABLED",
        "keyId": _KEY_ID,
        "outputPrefixType": "RAW",
    }
    return json.dumps({"primaryKeyId": _KEY_ID, "key": [key]}, indent=1)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
