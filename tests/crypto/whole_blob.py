"""A blob in one piece: sealed, and opened the way a strict reader does."""

from portal.crypto.blob import PREAMBLE_SIZE, BlobOpener, BlobSealer, plain_length, segment_range
from portal.crypto.format import BlobContext
from portal.crypto.layout import Layout
from portal.crypto.stream import SegmentCutter

_CYCLE = bytes((i * 31 + 7) % 251 for i in range(251))


def recipe(length: int) -> bytes:
    """Byte i is (i * 31 + 7) mod 251."""
    return (_CYCLE * (length // 251 + 1))[:length]


def seal_blob(plain: bytes, context: BlobContext, key: bytes, layout: Layout) -> bytes:
    sealer, cutter = BlobSealer(context, key, layout), SegmentCutter(layout)
    body = b"".join(sealer.seal(segment, last=False) for segment in cutter.feed(plain))
    return sealer.preamble + body + sealer.seal(cutter.finish(), last=True)


def open_blob(blob: bytes, context: BlobContext, key: bytes, layout: Layout) -> bytes:
    plain = plain_length(layout, len(blob))
    opener = BlobOpener(blob[:PREAMBLE_SIZE], context, key, layout, plain)
    ranges = (segment_range(layout, index, plain) for index in range(opener.last + 1))
    return b"".join(opener.open(i, blob[start : start + length]) for i, (start, length) in enumerate(ranges))
