"""The connection breaks while a transaction of an upload commits: who comes again with the same key finds one file."""

import hashlib
import secrets
from collections import Counter
from itertools import product

import httpx

from ..e2e.conftest import MakePortal
from ..e2e.seen import eventually, problem
from . import invariants
from .amounts import amount
from .between import Between, Fate, between
from .conftest import Figures
from .postgres import OwnPostgres

SIZE = 1_200_000  # two segments
# The first transaction is the one that says the name, the last one alone says the digest.
LOST = tuple(product(("name", "digest"), Fate))


class Upload:
    """One file under one key, as often as it is handed in."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client
        self._content = secrets.token_bytes(SIZE)
        self._key = {"Idempotency-Key": secrets.token_urlsafe(24)}
        self.answers: Counter[int] = Counter()
        self.words = {"name": f"{secrets.token_hex(8)}.bin", "digest": hashlib.sha256(self._content).hexdigest()}

    def hand_in(self) -> httpx.Response:
        answer = self._client.put(f"/upload/{self.words['name']}", content=self._content, headers=self._key)
        self.answers[answer.status_code] += 1
        return answer

    def hand_in_again(self) -> str:
        """Its id, once the portal knows what became of the first attempt."""
        assert eventually(lambda: self.hand_in().status_code != 409)
        entry = self.hand_in().json()
        assert self._client.get(f"/files/{entry['id']}/content").content == self._content
        page = self._client.get("/files", params={"sha256": self.words["digest"]}).json()
        assert [item["id"] for item in page["items"]] == [entry["id"]]
        return str(entry["id"])


def lose(wire: Between, upload: Upload, word: str, fate: Fate) -> None:
    """The first attempt, which does not hear of its commit."""
    wire.decide(upload.words[word], fate)
    answer = upload.hand_in()
    assert problem(answer) == (503, "database_away")
    assert answer.headers["retry-after"] == "5"
    assert wire.met[-1] == upload.words[word]


def test_an_upload_whose_commit_was_not_answered_is_one_file(
    make_portal: MakePortal, own_postgres: OwnPostgres, figures: Figures
) -> None:
    times, acknowledged, answers = amount("LOST_ANSWERS"), dict[str, str](), Counter[int]()
    with between(own_postgres.socket) as wire:
        url = f"postgresql://postgres@127.0.0.1:{wire.port}/{own_postgres.database}"
        portal = make_portal(DATABASE_URL=url, DATABASE_SSL_MODE="disable")
        portal.prepare(analyst="analyst")
        portal.start()
        with portal.client("analyst") as client:
            for _, (word, fate) in product(range(times), LOST):
                upload = Upload(client)
                lose(wire, upload, word, fate)
                acknowledged[upload.hand_in_again()] = upload.words["digest"]
                answers += upload.answers
                print(f"{len(wire.met)} of {times * len(LOST)} lost: {dict(answers)}", flush=True)
        assert set(answers) <= {201, 409, 503}
        assert answers[503] == len(wire.met) == times * len(LOST)
        assert eventually(lambda: own_postgres.unsettled() == 0)
        assert portal.stop() == 0
        invariants.assert_whole(portal, invariants.held(portal), acknowledged)
    given_up = [event["details"] for event in own_postgres.record() if event["event"] == "file.upload_failed"]
    assert given_up == [{"reason": "database_away"}] * (2 * times)  # where the row was there and stayed pending
    figures(lost=answers[503], files=len(acknowledged), told_to_wait=answers[409])
