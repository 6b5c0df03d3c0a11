"""A poller that asks as docs/polling.md says sees every file once, also one whose upload took long."""

import re
import secrets
from pathlib import Path
from typing import Any

import httpx

from .conftest import Served
from .raw import Wire, bearer, chunk, head
from .seen import eventually, statuses

PAGE = Path(__file__).parents[2] / "docs" / "polling.md"
_ROUNDS = 3


def rounds(portal: httpx.Client, handle: Any, meanwhile: Any, since: str) -> None:
    """The loop of the page, as it is printed there, with our client; between its rounds comes `meanwhile`."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    before, loop = code.split("while True:\n", 1)
    assert 'since, known = "' in before
    body = loop.replace("    time.sleep(30)\n", "")
    run = compile(f"def ask():\n    global since, known\n{body}", str(PAGE), "exec")
    space: dict[str, Any] = {"portal": portal, "handle": handle, "since": since, "known": set()}
    exec(run, space)  # noqa: S102  # the page's own code
    for number in range(_ROUNDS):
        meanwhile(number)
        space["ask"]()


def test_what_came_in_slowly_is_seen(portal: Served, analyst: httpx.Client) -> None:
    mark, seen = secrets.token_hex(8), list[str]()
    first = analyst.put(f"/upload/{mark}-first", content=b"x").json()
    with Wire(portal.port) as wire:
        told = [bearer(analyst), "Transfer-Encoding: chunked"]
        wire.send(head("PUT", f"/api/v1/upload/{mark}-slow", *told), chunk(b"slow"))
        assert eventually(lambda: statuses(portal, f"{mark}-slow") == ["pending"])

        def meanwhile(number: int) -> None:
            if number == 0:
                for one in range(250):  # more than a page
                    assert analyst.put(f"/upload/{mark}-{one}", content=b"quick").status_code == 201
            elif number == 1:
                wire.send(chunk(b""))
                assert wire.answer().status_code == 201

        with httpx.Client(base_url=analyst.base_url, headers=analyst.headers, timeout=60) as client:
            rounds(client, lambda file: seen.append(file["name"]), meanwhile, first["available_at"])
    of_us = [name for name in seen if name.startswith(mark)]
    assert of_us == [f"{mark}-first", *(f"{mark}-{one}" for one in range(250)), f"{mark}-slow"]
