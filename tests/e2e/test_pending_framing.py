"""Pending: whoever is refused for their head does not go on sending a body."""

import httpx
import pytest

from .conftest import Served
from .raw import Wire, bearer, head, length
from .seen import problem

BODY = length(1 << 40)


@pytest.mark.parametrize(
    ("target", "headers", "host", "status"),
    [
        ("/api/v1/upload/a.bin", [BODY], "evil.example.org", 400),
        (f"/api/v1/upload/{'x' * 8192}", [BODY], "127.0.0.1", 414),
        ("/api/v1/upload/a.bin", [BODY, *(f"X-{number}: x" for number in range(100))], "127.0.0.1", 431),
        ("/api/v1/upload/a.bin?kind=log&kind=log", [BODY], "127.0.0.1", 422),
        ("/api/v1/upload/%ff", [BODY], "127.0.0.1", 400),
        ("/api/v1/upload/a.bin", ["Transfer-Encoding: gzip, chunked"], "127.0.0.1", 400),
    ],
    ids=["host", "target", "headers", "query", "path", "framing"],
)
def test_a_refused_head_closes_the_connection(
    portal: Served, analyst: httpx.Client, target: str, headers: list[str], host: str, status: int
) -> None:
    with Wire(portal.port) as wire:
        wire.send(head("PUT", target, bearer(analyst), *headers, host=host))
        answer = wire.answer()
        assert problem(answer)[0] == status
        assert answer.headers.get("connection") == "close"
        assert wire.ended()
