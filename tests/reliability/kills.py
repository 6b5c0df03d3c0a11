"""A machine that kills a portal under load, again and again, and never forgets what the portal promised.

Comes in: a folder, empty or of a run that was interrupted. Leaves: rounds of start, repeat what had no answer, load,
`kill -9` at a random moment, check. Everything outlives the run in the folder: keys, data, nonces, and the journal.
"""

import json
import math
import random
import secrets
import signal
import sqlite3
import statistics
import threading
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import closing, contextmanager
from pathlib import Path

import httpx

from ..e2e.conftest import Served, _end, _make
from . import invariants, ledger
from .invariants import Holdings
from .journal import Journal
from .uploads import Unanswered, Upload, draw, hand_in

CLIENTS = 8
SMALLEST, LARGEST = 1 << 10, 8 << 20
SOONEST, LATEST = 0.004, 1.5  # seconds of load before a kill
AT_A_COMMIT = 0.5  # the part of the kills that wait for the next commit: what it brought has no answer yet
HELD = 60  # how many files a long run keeps, about: with more, deletes are likelier than uploads
TOLD_EVERY = 25
_SIGNED_IN_SECONDS = 600
_LOOKS = 100_000


@contextmanager
def machine(folder: Path) -> Iterator["Machine"]:
    """The machine that works in `folder`, with all it did there before."""
    portal = _portal(folder)
    try:
        with closing(Journal(folder / "journal.jsonl")) as journal:
            yield Machine(portal, journal)
    finally:
        _end(portal)


def any_moment(draws: random.Random) -> float:
    """Seconds, log-uniform: as many kills within the first 20 ms as within the last second."""
    return SOONEST * math.pow(LATEST / SOONEST, draws.random())


class Machine:
    """One portal, killed and started again."""

    def __init__(self, portal: Served, journal: Journal) -> None:
        self.portal = portal
        self.journal = journal
        self._draws = random.Random()  # noqa: S311  # draws, no secrets
        self._killed = threading.Event()
        self._headers = httpx.Headers()
        self._signed_in_until = 0.0

    def run(self, kills: int) -> None:
        """Go on until there were `kills` in all."""
        holdings = self.check()
        while len(self.journal.kills) < kills:
            holdings = self._round(holdings)
            done = len(self.journal.kills)
            if done % TOLD_EVERY == 0:
                print(f"{done} of {kills} kills, {self.journal.acknowledged} files acknowledged", flush=True)

    def check(self) -> Holdings:
        """Everything acknowledged is there, everything deleted is gone, and what is in doubt is there once or not."""
        holdings, journal = invariants.settled(self.portal), self.journal
        still = {file: upload for file, upload in journal.deleting.items() if file in holdings.listed}
        acknowledged = {file: upload.sha256 for file, upload in (journal.held | still).items()}
        in_doubt = [upload.sha256 for upload in journal.in_doubt.values()]
        invariants.assert_whole(self.portal, holdings, acknowledged, in_doubt)
        assert len(set(holdings.listed.values())) == len(holdings.listed), "one upload became two files"
        return holdings

    def figures(self) -> dict[str, float | str]:
        """What was counted, after a last look."""
        listed, kills = self.check().listed, self.journal.kills
        held = {file: upload.sha256 for file, upload in self.journal.held.items()}
        known = {upload.sha256 for of in (self.journal.held, self.journal.deleting) for upload in of.values()}
        known |= {upload.sha256 for upload in self.journal.in_doubt.values()}
        ready = [kill["ready"] for kill in kills]
        return {
            "kills": len(kills),
            "acknowledged": self.journal.acknowledged,
            "in_doubt": int(sum(kill["in_doubt"] for kill in kills)),
            "of_them_found": int(sum(kill["found"] for kill in kills)),
            "lost": sum(listed.get(file) != digest for file, digest in held.items()),
            "partial": sum(digest not in known for digest in listed.values()),
            "nonces": len(ledger.entries(self.portal)),
            "repeated": len(ledger.repeated(self.portal)),
            "seconds_to_ready": f"{statistics.median(ready):.1f} (at most {max(ready):.1f})",
        }

    def _round(self, holdings: Holdings) -> Holdings:
        began = time.monotonic()
        self.portal.start()
        ready = time.monotonic() - began
        with self._client() as client:
            self._make_good(client, holdings)
            after = any_moment(self._draws)
            self._load(client, after)
        holdings = self.check()
        in_doubt = {upload.sha256 for upload in self.journal.in_doubt.values()}
        found = len(in_doubt & set(holdings.listed.values()))
        self.journal.was_killed(after=after, ready=ready, in_doubt=len(in_doubt), found=found)
        return holdings

    def _client(self) -> httpx.Client:
        """Signed in once for many starts: a session outlives them, and a first sign-in costs as much as a start."""
        if time.monotonic() >= self._signed_in_until:
            with self.portal.client("analyst") as client:
                self._headers = client.headers
            self._signed_in_until = time.monotonic() + _SIGNED_IN_SECONDS
        return httpx.Client(base_url=f"{self.portal.url}/api/v1", headers=self._headers, timeout=60)

    def _make_good(self, client: httpx.Client, holdings: Holdings) -> None:
        """What had no answer is asked for again, as a careful client does: of each upload that makes one file."""
        ids = {digest: file for file, digest in holdings.listed.items()}
        for upload in [*self.journal.in_doubt.values(), *self.journal.broken.values()]:
            file = self._upload(client, upload)
            assert file == ids.get(upload.sha256, file), "what was there became another file"
        for file in list(self.journal.deleting):
            self._delete(client, file, 204 if file in holdings.listed else 404)

    def _load(self, client: httpx.Client, seconds: float) -> None:
        """Clients at work, and the kill in the middle of it."""
        self._killed.clear()
        with ThreadPoolExecutor(CLIENTS) as threads:
            clients = [threads.submit(self._work, client, self._draws.random()) for _ in range(CLIENTS)]
            wait(clients, timeout=seconds, return_when=FIRST_EXCEPTION)
            if self._draws.random() < AT_A_COMMIT:
                _wait_for_a_commit(self.portal)
            self._killed.set()
            assert self.portal.stop(signal.SIGKILL) == -signal.SIGKILL
        for one in clients:
            one.result()

    def _work(self, client: httpx.Client, seed: float) -> None:
        """Upload, and delete the likelier the more is held, until the portal is gone."""
        draws = random.Random(seed)  # noqa: S311  # draws, no secrets
        try:
            while not self._killed.is_set():
                delete = draws.random() < len(self.journal.held) / (2 * HELD)
                file = self.journal.picked_to_delete(draws) if delete else None
                if file is None:
                    self._upload(client, draw(draws, SMALLEST, LARGEST))
                else:
                    self._delete(client, file, 204)
        except (Unanswered, httpx.TransportError):
            if not self._killed.is_set():
                raise

    def _upload(self, client: httpx.Client, upload: Upload) -> str:
        self.journal.sending(upload)
        try:
            file = hand_in(client, upload)
        except Unanswered as lost:
            if not lost.whole:
                self.journal.was_broken(upload)
            raise
        self.journal.was_acknowledged(upload, file)
        return file

    def _delete(self, client: httpx.Client, file: str, status: int) -> None:
        answer = client.delete(f"/files/{file}", headers={"If-Match": "*"})
        assert answer.status_code == status, (file, answer.text)
        self.journal.was_deleted(file)


def _wait_for_a_commit(portal: Served) -> None:
    """Look, without a pause, until an upload or a delete is on record: for some seconds at most."""
    with closing(sqlite3.connect(portal.folder / "var" / "portal.db")) as connection:

        def last() -> object:
            return connection.execute("SELECT max(seq) FROM audit").fetchone()

        before = last()
        for _ in range(_LOOKS):
            if last() != before:
                return


def _portal(folder: Path) -> Served:
    """The portal of this folder: the same keys and the same data each time."""
    keys, journal = folder / "keys.json", folder / "journal.jsonl"
    if not keys.exists():
        folder.mkdir(parents=True, exist_ok=True)
        keys.write_text(json.dumps({name: secrets.token_hex(32) for name in ("MASTER_KEY", "SECRET_KEY")}))
    portal = _make(folder / "portal", json.loads(keys.read_text()))
    ledger.keep(portal)
    if not journal.exists():
        portal.prepare(analyst="analyst")
    return portal
