"""Writes `blob.json`, the sealed-file format's own vectors: `python -m tests.crypto.vectors.make_blob_vectors`.

Everything is drawn from the names below, so two runs write the same bytes. What is to be refused is forged by someone
who holds the file key wherever that is possible: nothing but the fault in its name is wrong with it.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from portal.crypto import derive, wrap
from portal.crypto.blob import PREAMBLE_SIZE, BlobSealer, segment_range
from portal.crypto.format import HEAD_SIZE, BlobContext, bound_head
from portal.crypto.layout import PREFIX_SIZE, SALT_SIZE, Layout
from portal.crypto.record import FileClaim, PartClaim, make
from portal.crypto.stream import SegmentCutter, StreamSealer

from ..two_keys import ciphertext_for_both
from ..whole_blob import recipe, seal_blob

PATH = Path(__file__).with_name("blob.json")
SMALL, LARGE = Layout(256), Layout()
EMPTY, ONE, FIRST_EXACT, THREE_SEGMENTS, THREE_FULL, FOUR_SEGMENTS = 0, 1, 200, 461, 680, 781  # bytes, with S = 256

Vector = dict[str, Any]


def fixed(name: str, size: int = 32) -> bytes:
    """Bytes anybody can make again: SHAKE-256 of a name."""
    return hashlib.shake_256(f"SFP1 vectors: {name}".encode()).digest(size)


def fixed_id(name: str) -> UUID:
    return UUID(bytes=fixed(name, 16), version=4)


@contextmanager
def drawing(name: str) -> Iterator[list[bytes]]:
    """Instead of random bytes, the bytes of a name; yields what was drawn."""
    drawn: list[bytes] = []

    def draw(size: int) -> bytes:
        drawn.append(fixed(f"{name}, draw {len(drawn)}", size))
        return drawn[-1]

    with mock.patch("os.urandom", draw):
        yield drawn


FILE_KEY, DATA_KEY, MASTER_KEY = fixed("file key"), fixed("data key"), fixed("master key")
OTHER_FILE_KEY, OTHER_MASTER_KEY = fixed("other file key"), fixed("other master key")
DATA_KEY_ID, SCOPE = fixed_id("data key id"), f"case:{fixed_id('case').hex}"
PLACE = BlobContext(fixed_id("file"), fixed_id("blob"), 0, 1)
LATER = BlobContext(PLACE.file_id, fixed_id("later blob"), 9_999, 2)
KID = derive.master_key_id(MASTER_KEY)


def where(place: BlobContext) -> Vector:
    return {
        "file_id": str(place.file_id),
        "blob_id": str(place.blob_id),
        "part": place.part,
        "key_generation": place.key_generation,
    }


# Heads


def heads() -> Iterator[Vector]:
    cases = {"first_part": (PLACE, LARGE), "last_part": (LATER, LARGE), "small_segments": (PLACE, SMALL)}
    for name, (place, layout) in cases.items():
        with drawing(f"head {name}") as drawn:
            preamble = BlobSealer(place, FILE_KEY, layout).preamble
        yield {
            "name": name,
            **where(place),
            "log2_segment": layout.segment.bit_length() - 1,
            "file_key_hex": FILE_KEY.hex(),
            "salt_hex": drawn[0].hex(),
            "head_hex": preamble[:HEAD_SIZE].hex(),
        }


# Wraps


def data_keys() -> Iterator[Vector]:
    for name, scope in {"of_a_case": SCOPE, "of_no_case": "none"}.items():
        context = wrap.data_key_context(KID, DATA_KEY_ID, scope)
        with drawing(f"data key {name}") as drawn:
            wrapped = wrap.wrap_data_key(DATA_KEY, MASTER_KEY, context)
        good = {
            "name": name,
            "expect": "opens",
            "master_key_hex": MASTER_KEY.hex(),
            "kid_hex": KID.hex(),
            "data_key_id": str(DATA_KEY_ID),
            "scope": scope,
            "salt_hex": drawn[0].hex(),
            "nonce_hex": drawn[1].hex(),
            "wrapped_hex": wrapped.hex(),
            "data_key_hex": DATA_KEY.hex(),
            "check_hex": derive.data_key_check(DATA_KEY, DATA_KEY_ID).hex(),
        }
        yield good
        if name == "of_a_case":
            yield from refused_data_keys(good, wrapped)


def refused_data_keys(good: Vector, wrapped: bytes) -> Iterator[Vector]:
    other_kid = derive.master_key_id(OTHER_MASTER_KEY)
    other_master = {"master_key_hex": OTHER_MASTER_KEY.hex(), "kid_hex": other_kid.hex()}
    changes: dict[str, Vector] = {
        "wrong_version": {"wrapped_hex": (b"\x02" + wrapped[1:]).hex()},
        "bit_flipped": {"wrapped_hex": flipped(wrapped, -1).hex()},
        "truncated": {"wrapped_hex": wrapped[:-1].hex()},
        "appended": {"wrapped_hex": (wrapped + b"\0").hex()},
        "other_master_key": other_master,
        "other_master_key_named": {**other_master, "wrapped_hex": (b"\x01" + other_kid + wrapped[9:]).hex()},
        "other_data_key_id": {"data_key_id": str(fixed_id("other data key id"))},
        "other_case": {"scope": f"case:{fixed_id('other case').hex}"},
        "no_case": {"scope": "none"},
    }
    yield from (refused(good, name, change) for name, change in changes.items())


def file_keys() -> Iterator[Vector]:
    for name, place in {"first_part": PLACE, "last_part": LATER}.items():
        with drawing(f"file key {name}") as drawn:
            wrapped = wrap.wrap_file_key(FILE_KEY, DATA_KEY, DATA_KEY_ID, place)
        good = {
            "name": name,
            "expect": "opens",
            "data_key_hex": DATA_KEY.hex(),
            "data_key_id": str(DATA_KEY_ID),
            **where(place),
            "salt_hex": drawn[0].hex(),
            "nonce_hex": drawn[1].hex(),
            "wrapped_hex": wrapped.hex(),
            "file_key_hex": FILE_KEY.hex(),
        }
        yield good
        if name == "first_part":
            yield from refused_file_keys(good, wrapped)


def refused_file_keys(good: Vector, wrapped: bytes) -> Iterator[Vector]:
    changes: dict[str, Vector] = {
        "wrong_version": {"wrapped_hex": (b"\x02" + wrapped[1:]).hex()},
        "bit_flipped": {"wrapped_hex": flipped(wrapped, -1).hex()},
        "truncated": {"wrapped_hex": wrapped[:-1].hex()},
        "appended": {"wrapped_hex": (wrapped + b"\0").hex()},
        "other_data_key": {"data_key_hex": fixed("other data key").hex()},
        "other_data_key_id": {"data_key_id": str(fixed_id("other data key id"))},
        "other_file": {"file_id": str(fixed_id("other file"))},
        "other_blob": {"blob_id": str(fixed_id("other blob"))},
        "other_part": {"part": 1},
        "other_generation": {"key_generation": 2},
    }
    yield from (refused(good, name, change) for name, change in changes.items())


def refused(good: Vector, name: str, change: Vector) -> Vector:
    return good | change | {"name": name, "expect": "refused"}


def flipped(sealed: bytes, index: int) -> bytes:
    """`sealed` with the lowest bit of one byte flipped."""
    changed = bytearray(sealed)
    changed[index] ^= 1
    return bytes(changed)


# Records


def claimed(claim: FileClaim) -> Vector:
    return {
        "file_id": str(claim.file_id),
        "data_key_id": str(claim.data_key_id),
        "scope": claim.scope,
        "size": claim.size,
        "sha256_hex": claim.sha256.hex(),
        "parts": [
            {
                "blob_id": str(part.blob_id),
                "key_generation": part.key_generation,
                "plain_length": part.plain_length,
                "commitment_hex": part.commitment.hex(),
            }
            for part in claim.parts
        ],
    }


def claim_of(*sizes: int, scope: str = SCOPE) -> FileClaim:
    digest = hashlib.sha256(recipe(sum(sizes))).digest()
    parts = [
        PartClaim(fixed_id(f"part {i}"), i + 1, size, fixed(f"commitment of part {i}")) for i, size in enumerate(sizes)
    ]
    return FileClaim(PLACE.file_id, DATA_KEY_ID, scope, sum(sizes), digest, parts)


def records() -> Iterator[Vector]:
    good = {
        "empty_file": claim_of(0),
        "one_part": claim_of(461),
        "three_parts": claim_of(200, 1, 260),
        "of_no_case": claim_of(461, scope="none"),
        "of_16_tib": replace(
            claim_of(461), size=1 << 44, parts=[replace(claim_of(461).parts[0], plain_length=1 << 44)]
        ),
    }
    for name, claim in good.items():
        yield record_vector(name, "opens", claim, make(DATA_KEY, claim))
    record = make(DATA_KEY, good["three_parts"])
    for name, claim in refused_claims(good["three_parts"]).items():
        yield record_vector(name, "refused", claim, record)
    for name, wrong in refused_records(record).items():
        yield record_vector(name, "refused", good["three_parts"], wrong)


def record_vector(name: str, expect: str, claim: FileClaim, record: bytes) -> Vector:
    said = {"name": name, "expect": expect, "data_key_hex": DATA_KEY.hex()}
    return said | claimed(claim) | {"record_hex": record.hex()}


def refused_claims(claim: FileClaim) -> dict[str, FileClaim]:
    one, two, three = claim.parts
    retried = replace(two, blob_id=fixed_id("abandoned attempt"), commitment=fixed("abandoned attempt"))
    return {
        "other_file": replace(claim, file_id=fixed_id("other file")),
        "other_data_key_id": replace(claim, data_key_id=fixed_id("other data key id")),
        "other_case": replace(claim, scope=f"case:{fixed_id('other case').hex}"),
        "no_case": replace(claim, scope="none"),
        "other_digest": replace(claim, sha256=fixed("other digest")),
        "other_size": replace(claim, size=claim.size + 1),
        "other_size_that_adds_up": replace(
            claim, size=claim.size + 1, parts=[one, two, replace(three, plain_length=three.plain_length + 1)]
        ),
        "parts_reordered": replace(claim, parts=[one, three, two]),
        "part_repeated": replace(claim, parts=[one, two, two, three], size=claim.size + two.plain_length),
        "part_dropped": replace(claim, parts=[one, two], size=claim.size - three.plain_length),
        "part_empty": replace(claim, parts=[one, replace(two, plain_length=0), three], size=claim.size - 1),
        "part_of_an_abandoned_attempt": replace(claim, parts=[one, retried, three]),
        "part_of_another_generation": replace(claim, parts=[one, replace(two, key_generation=9), three]),
        "bytes_moved_between_parts": replace(
            claim, parts=[replace(one, plain_length=199), replace(two, plain_length=2), three]
        ),
        "no_parts": replace(claim, parts=[], size=0),
    }


def refused_records(record: bytes) -> dict[str, bytes]:
    return {
        "wrong_version": b"\x02" + record[1:],
        "bit_flipped": flipped(record, -1),
        "truncated": record[:-1],
        "appended": record + b"\0",
    }


# Blobs


@dataclass(frozen=True, slots=True)
class Forgery:
    """A blob to refuse at `PLACE` under `key`. `sound`: its stream opens under the head in front of it."""

    blob: bytes
    sound: bool
    key: bytes = FILE_KEY


def blobs() -> Iterator[Vector]:
    sizes = {
        "empty": EMPTY,
        "one_byte": ONE,
        "first_exact": FIRST_EXACT,
        "three_segments": THREE_SEGMENTS,
        "three_full_segments": THREE_FULL,
    }
    for name, size in sizes.items():
        yield opening(name, sealed(name, size), recipe(size), FILE_KEY)
    blob, plain = under_two_keys()
    yield opening("under_the_first_of_two_keys", blob, plain, FILE_KEY)
    forged = heads_forged() | places_forged() | streams_cut() | streams_forged() | bits_flipped()
    forged["opens_under_two_keys"] = Forgery(blob, sound=True, key=OTHER_FILE_KEY)
    yield from (
        blob_vector(name, forgery.blob, forgery.key) | {"expect": "refused", "stream_opens": forgery.sound}
        for name, forgery in forged.items()
    )


def opening(name: str, blob: bytes, plain: bytes, key: bytes) -> Vector:
    said = {"expect": "opens", "plain_length": len(plain), "plain_sha256": hashlib.sha256(plain).hexdigest()}
    return blob_vector(name, blob, key) | said


def blob_vector(name: str, blob: bytes, key: bytes) -> Vector:
    return {"name": name, **where(PLACE), "log2_segment": 8, "file_key_hex": key.hex(), "blob_hex": blob.hex()}


def sealed(name: str, size: int, place: BlobContext = PLACE, key: bytes = FILE_KEY) -> bytes:
    with drawing(f"blob {name}"):
        return seal_blob(recipe(size), place, key, SMALL)


def sealed_under(name: str, bound: bytes, layout: Layout = SMALL) -> bytes:
    """A blob with any bound head at all, its commitment and stream made to match."""
    with drawing(f"blob {name}"):
        stream, cutter = StreamSealer(FILE_KEY, bound, layout), SegmentCutter(layout)
    body = b"".join(stream.seal(segment, last=False) for segment in cutter.feed(recipe(FOUR_SEGMENTS)))
    body += stream.seal(cutter.finish(), last=True)
    return bound + derive.commitment(FILE_KEY, stream.salt, bound) + stream.header + body


def heads_forged() -> dict[str, Forgery]:
    bound = bound_head(PLACE, SMALL.segment)
    changes = {
        "wrong_magic": (0, b"SFP2"),
        "wrong_version": (4, b"\x02"),
        "wrong_suite": (5, b"\x02"),
        "flag_set": (7, b"\x01"),
        "reserved_byte_set": (48, b"\x01"),
        "last_reserved_byte_set": (95, b"\x01"),
    }
    forged = {
        name: Forgery(sealed_under(name, bound[:start] + value + bound[start + len(value) :]), sound=True)
        for name, (start, value) in changes.items()
    }
    for name, layout in {"wrong_log2_segment": Layout(512), "production_log2_segment": LARGE}.items():
        forged[name] = Forgery(sealed_under(name, bound_head(PLACE, layout.segment), layout), sound=True)
    blob, other = sealed("wrong_commitment", THREE_SEGMENTS), fixed("wrong commitment")
    forged["wrong_commitment"] = Forgery(blob[:96] + other + blob[HEAD_SIZE:], sound=True)
    return forged


def places_forged() -> dict[str, Forgery]:
    others = {
        "other_file": replace(PLACE, file_id=fixed_id("other file")),
        "other_blob": replace(PLACE, blob_id=fixed_id("other blob")),
        "other_part": replace(PLACE, part=1),
        "other_generation": replace(PLACE, key_generation=2),
    }
    forged = {name: Forgery(sealed(name, THREE_SEGMENTS, place), sound=True) for name, place in others.items()}
    forged["other_file_key"] = Forgery(sealed("other_file_key", THREE_SEGMENTS, key=OTHER_FILE_KEY), sound=False)
    head, stream = sealed("head_of_another_sealing", ONE)[:HEAD_SIZE], sealed("three_segments", THREE_SEGMENTS)
    forged["head_of_another_sealing"] = Forgery(head + stream[HEAD_SIZE:], sound=True)
    return forged


def streams_cut() -> dict[str, Forgery]:
    blob, full = sealed("three_segments", THREE_SEGMENTS), sealed("three_full_segments", THREE_FULL)
    ends = {f"segment_{i}": sum(segment_range(SMALL, i, THREE_SEGMENTS)) for i in range(2)}
    cuts = {
        "to_nothing": 0,
        "in_head": 100,
        "after_head": HEAD_SIZE,
        "in_stream_header": HEAD_SIZE + 20,
        "after_stream_header": PREAMBLE_SIZE,
        "in_first_segment": PREAMBLE_SIZE + 100,
        "in_second_segment": ends["segment_0"] + 100,
        "in_last_tag": len(blob) - 1,
        **{f"after_{name}": end for name, end in ends.items()},
    }
    forged = {f"truncated_{name}": Forgery(blob[:end], sound=False) for name, end in cuts.items()}
    forged["appended_byte"] = Forgery(blob + b"\0", sound=False)
    forged["appended_segment"] = Forgery(full + bytes(256), sound=False)
    forged["appended_after_full_last_segment"] = Forgery(full + b"\0", sound=False)
    forged["appended_tag_after_full_last_segment"] = Forgery(full + bytes(16), sound=False)
    forged["appended_blob"] = Forgery(blob + blob, sound=False)
    return forged


def streams_forged() -> dict[str, Forgery]:
    preamble, parts = pieces(sealed("four_segments", FOUR_SEGMENTS), FOUR_SEGMENTS)
    orders = {
        "segments_swapped": (0, 2, 1, 3),
        "last_segment_moved": (0, 1, 3, 2),
        "segment_repeated": (0, 1, 1, 2, 3),
        "segment_overwritten": (0, 1, 1, 3),
        "segment_dropped": (0, 2, 3),
        "first_segment_dropped": (1, 2, 3),
        "last_segment_repeated": (0, 1, 2, 3, 3),
    }
    forged = {
        name: Forgery(preamble + b"".join(parts[i] for i in order), sound=False) for name, order in orders.items()
    }
    _, donor = pieces(sealed("donor", FOUR_SEGMENTS), FOUR_SEGMENTS)
    forged["segment_of_another_blob"] = Forgery(preamble + parts[0] + donor[1] + parts[2] + parts[3], sound=False)
    forged["empty_tail_segment"] = Forgery(tailed("empty_tail_segment", b"", last=True), sound=True)
    forged["last_segment_not_marked_last"] = Forgery(tailed("not_marked_last", b"tail", last=False), sound=False)
    return forged


def pieces(blob: bytes, plain: int) -> tuple[bytes, list[bytes]]:
    """A blob's preamble and its segments."""
    ranges = (segment_range(SMALL, index, plain) for index in range(SMALL.segments(plain)))
    return blob[:PREAMBLE_SIZE], [blob[start : start + length] for start, length in ranges]


def tailed(name: str, tail: bytes, *, last: bool) -> bytes:
    """A full first segment, not marked as the last, and a tail that `StreamSealer` would not seal like this."""
    with drawing(f"blob {name}"):
        sealer = BlobSealer(PLACE, FILE_KEY, SMALL)
    first = sealer.seal(recipe(FIRST_EXACT), last=False)
    with mock.patch.object(StreamSealer, "_fits", return_value=True):
        return sealer.preamble + first + sealer.seal(tail, last=last)


def bits_flipped() -> dict[str, Forgery]:
    blob = sealed("three_segments", THREE_SEGMENTS)
    first, *_, final = (sum(segment_range(SMALL, i, THREE_SEGMENTS)) for i in range(3))
    places = {
        "in_commitment": 96,
        "in_salt": HEAD_SIZE + 1,
        "in_nonce_prefix": HEAD_SIZE + 1 + SALT_SIZE,
        "in_first_segment": PREAMBLE_SIZE,
        "in_first_tag": first - 1,
        "in_last_tag": final - 1,
    }
    forged = {
        f"bit_flipped_{name}": Forgery(flipped(blob, index), sound=name == "in_commitment")
        for name, index in places.items()
    }
    forged["header_byte_not_0x28"] = Forgery(blob[:HEAD_SIZE] + b"\x29" + blob[HEAD_SIZE + 1 :], sound=False)
    return forged


def under_two_keys() -> tuple[bytes, bytes]:
    """A blob whose one segment opens under two file keys, committed to the first, and what that one finds in it."""
    with drawing("blob under two keys"):
        preamble = BlobSealer(PLACE, FILE_KEY, SMALL).preamble
    bound, salt = preamble[:96], preamble[HEAD_SIZE + 1 : HEAD_SIZE + 1 + SALT_SIZE]
    one, two = derive.stream_key(FILE_KEY, salt, bound), derive.stream_key(OTHER_FILE_KEY, salt, bound)
    nonce = preamble[-PREFIX_SIZE:] + b"\0\0\0\0\x01"
    ciphertext = ciphertext_for_both(one, two, nonce, b"an honest report", b"a forged invoice")
    return preamble + ciphertext, AESGCM(one).decrypt(nonce, ciphertext, None)


# The file


def text() -> str:
    vectors = {
        "format": "SFP1, the sealed-file format, version 1 (docs/format.md)",
        "recipe": "plaintext byte i = (i*31+7) mod 251, except under two keys",
        "heads": [*heads()],
        "data_keys": [*data_keys()],
        "file_keys": [*file_keys()],
        "records": [*records()],
        "blobs": [*blobs()],
    }
    return json.dumps(vectors, indent=1) + "\n"


if __name__ == "__main__":
    PATH.write_text(text())
