"""A key server that is sealed, killed, slow or talks nonsense in the middle of uploads, each of which needs a new key.

Comes in: a portal whose master key is in OpenBao, and what stands between them. Leaves: answers, each a file or
a refusal, and soon; no file under a data key that is not stored; a portal that goes on without a restart.
"""

import json
import secrets
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from ..e2e.conftest import MakePortal, Served
from ..e2e.seen import eventually, problem, rows
from ..own_openbao import OwnOpenBao
from .amounts import amount
from .conftest import Figures
from .lying_server import LyingServer, Mood, lying

AT_ONCE = 6
PATIENCE_SECONDS = 25.0  # for one answer: three calls of five seconds, and a machine that is busy
CONTENT = secrets.token_bytes(20_000)
Fault = Callable[[OwnOpenBao, LyingServer], None]
FAULTS: dict[str, tuple[Fault, Fault]] = {  # how it begins, and how it ends
    "sealed": (lambda bao, _: bao.seal(), lambda bao, _: bao.unseal()),
    "killed": (lambda bao, _: bao.kill(), lambda bao, _: bao.start()),
    "slow": (lambda _, between: between.be(Mood.SLOW), lambda _, between: between.be(Mood.PASS_ON)),
    "nonsense": (lambda _, between: between.be(Mood.NONSENSE), lambda _, between: between.be(Mood.PASS_ON)),
}


class Uploads:
    """Each is of a case of its own, whose data key nobody has yet. `files` has the id of each that was taken in."""

    def __init__(self, client: httpx.Client) -> None:
        self.files: list[str] = []
        self.answers: Counter[str] = Counter()
        self.slowest = 0.0
        self._client = client

    def one(self, _: int = 0) -> bool:
        case = self._client.post("/cases", json={"title": "a case"}).json()["id"]
        began = time.monotonic()
        answer = self._client.put("/upload/a.bin", params={"case_id": case}, content=CONTENT)
        self.slowest = max(self.slowest, time.monotonic() - began)
        if answer.status_code == 201:
            self.files.append(answer.json()["id"])
        else:
            assert problem(answer) == (503, "key_provider_away")
            assert answer.headers["retry-after"]
        self.answers["taken in" if answer.status_code == 201 else "refused"] += 1
        return answer.status_code == 201


@pytest.mark.parametrize("fault", FAULTS)
def test_no_upload_hangs_or_lies_under_a_key_that_is_not_stored(
    make_portal: MakePortal, openbao: OwnOpenBao, figures: Figures, fault: str
) -> None:
    begin, end = FAULTS[fault]
    many = amount("KEY_SERVER_UPLOADS") // len(FAULTS)
    with lying(openbao.port) as between:
        url = openbao.url.replace(str(openbao.port), str(between.port))
        portal = make_portal(KEY_URLS=url, VAULT_TOKEN=openbao.token())
        portal.prepare(analyst="analyst")
        portal.start()
        with portal.client("analyst") as analyst, ThreadPoolExecutor(AT_ONCE) as threads:
            uploads = Uploads(analyst)
            list(threads.map(uploads.one, range(many // 3)))
            assert uploads.answers["refused"] == 0
            running = [threads.submit(uploads.one) for _ in range(many // 3)]
            begin(openbao, between)
            running += [threads.submit(uploads.one) for _ in range(many - many // 3 * 2)]
            for one in running:
                one.result()
            end(openbao, between)
            assert eventually(uploads.one, seconds=60)  # no restart
            unstored = files_under_unstored_keys(portal, analyst, uploads)
    figures(
        fault=fault,
        uploads=uploads.answers.total(),
        **{key.replace(" ", "_"): n for key, n in uploads.answers.items()},
        slowest_seconds=round(uploads.slowest, 1),
        hung=int(uploads.slowest >= PATIENCE_SECONDS),
        under_an_unstored_key=unstored,
    )
    assert uploads.answers["refused"] > 0
    assert uploads.slowest < PATIENCE_SECONDS
    assert unstored == 0


def files_under_unstored_keys(portal: Served, analyst: httpx.Client, uploads: Uploads) -> int:
    """How many there are, after every file was opened by this process and every data key by another one."""
    for file in uploads.files:
        assert analyst.get(f"/files/{file}/content").content == CONTENT
    listed = "status IN ('ready', 'quarantined')"
    assert rows(portal, f"SELECT count(*) FROM files WHERE {listed}") == [(len(uploads.files),)]  # noqa: S608  # ours
    verified = json.loads(portal.cli("keys", "verify", "--json").stdout)
    assert (verified["status"], verified["left"]) == ("done", 0)
    stored = "SELECT id FROM data_keys"
    return len(rows(portal, f"SELECT id FROM files WHERE {listed} AND data_key_id NOT IN ({stored})"))  # noqa: S608
