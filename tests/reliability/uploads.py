"""What clients hand in while the portal is killed or stopped: content out of a seed, to be sent again and never kept.

Comes in: draws. Leaves: an `Upload`, and what a client knows of it afterwards: its file's id, or `Unanswered`.
"""

import hashlib
import math
import random
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import httpx

from ..e2e.raw import BOUNDARY, form_end, part

_PIECE = 1 << 16


@dataclass(frozen=True, slots=True)
class Upload:
    """`seed` is its Idempotency-Key as well; `way` is "raw" or "form"."""

    seed: str
    size: int
    way: str
    sha256: str

    @property
    def content(self) -> bytes:
        return _content(self.seed, self.size)


class Unanswered(Exception):
    """The portal went away, or cut it off (503). `whole`: the kernel had every byte, so it may have been taken in."""

    def __init__(self, *, whole: bool) -> None:
        self.whole = whole


def draw(draws: random.Random, smallest: int, largest: int) -> Upload:
    """An upload nobody made before, its size log-uniform."""
    seed = secrets.token_hex(16)
    size = int(smallest * math.pow(largest / smallest, draws.random()))
    return Upload(seed, size, draws.choice(["raw", "form"]), hashlib.sha256(_content(seed, size)).hexdigest())


def hand_in(client: httpx.Client, upload: Upload, half_way: Callable[[], object] = lambda: None) -> str:
    """The id of the file that it became. `half_way` is called when half of it was sent. Raises Unanswered."""
    body = _Body(upload, half_way)
    headers = {"Idempotency-Key": upload.seed, "Content-Length": str(body.length)}
    try:
        if upload.way == "form":
            headers["Content-Type"] = f"multipart/form-data; boundary={BOUNDARY}"
            answer = client.post("/files", content=body, headers=headers)
        else:
            answer = client.put(f"/upload/{upload.seed}", content=body, headers=headers)
    except httpx.TransportError as error:
        raise Unanswered(whole=body.whole) from error
    if answer.status_code == 503 and answer.json()["code"] == "portal_stopped":
        raise Unanswered(whole=body.whole)
    assert answer.status_code == 201, (upload, answer.text)
    assert answer.json()["sha256"] == upload.sha256
    return str(answer.json()["id"])


class _Body:
    """A request's body, piece by piece; `whole` once somebody asked for more than there is."""

    def __init__(self, upload: Upload, half_way: Callable[[], object]) -> None:
        content = upload.content
        form = upload.way == "form"
        self._bytes = part("file", content, filename=upload.seed) + form_end() if form else content
        self._half_way = half_way
        self.length = len(self._bytes)
        self.whole = False

    def __iter__(self) -> Iterator[bytes]:
        half = self.length // 2
        for start, end in ((0, half), (half, self.length)):
            for at in range(start, end, _PIECE):
                yield self._bytes[at : min(at + _PIECE, end)]
            if end == half:
                self._half_way()
        self.whole = True


def _content(seed: str, size: int) -> bytes:
    return hashlib.shake_256(seed.encode()).digest(size)
