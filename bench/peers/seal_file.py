"""Seal one file as the strongbox would, alone: `python -m bench.peers.seal_file SOURCE TARGET`.

Comes in: a file in the page cache. Leaves: a sealed blob, durable under its name; on standard output what it took.
"""

import hashlib
import json
import os
import sys
import time
import uuid
from pathlib import Path
from typing import BinaryIO

from portal.crypto import wrap
from portal.crypto.blob import BlobSealer
from portal.crypto.format import BlobContext
from portal.crypto.layout import PRODUCTION


def seal_file(source: Path, target: Path) -> dict[str, float | str]:
    sealer = BlobSealer(BlobContext(uuid.uuid4(), uuid.uuid4()), wrap.new_key(), PRODUCTION)
    temporary = target.with_suffix(".tmp")
    started, used = time.perf_counter(), time.process_time()
    with source.open("rb", buffering=0) as plain, temporary.open("wb", buffering=0) as sealed:
        sha256 = _pass(plain, source.stat().st_size, sealer, sealed)
        os.fsync(sealed.fileno())
    temporary.rename(target)
    cpu_seconds, seconds = time.process_time() - used, time.perf_counter() - started
    return {"seconds": seconds, "cpu_seconds": cpu_seconds, "sha256": sha256}


def _pass(plain: BinaryIO, size: int, sealer: BlobSealer, sealed: BinaryIO) -> str:
    sha256, last = hashlib.sha256(), PRODUCTION.segments(size) - 1
    sealed.write(sealer.preamble)
    for index in range(last + 1):
        segment = plain.read(PRODUCTION.segment_plain(index))
        sha256.update(segment)
        sealed.write(sealer.seal(segment, last=index == last))
    return sha256.hexdigest()


if __name__ == "__main__":
    print(json.dumps(seal_file(Path(sys.argv[1]), Path(sys.argv[2]))))
