"""SIGTERM under transfers up and down: the portal ends by itself, keeps what it acknowledged, and cuts the rest so that
every client can see it. Nothing is left to a sweep."""

import hashlib
import random
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager

import httpx

from ..e2e.conftest import MakePortal, Served
from . import invariants
from .amounts import amount
from .conftest import Figures
from .uploads import Unanswered, draw, hand_in

EACH = 3  # clients of each of the four kinds
GRACES = ("0", "1", "2")  # seconds, in turn: cut at once, or after some came to their end
WANTED = 16 << 20  # bytes of the file that is downloaded: more than all buffers on the way hold
PATIENCE_SECONDS = 60


class Clients:
    """Those who transfer while the portal is told to stop. Half of them are too slow for any grace."""

    def __init__(self, portal: Served, client: httpx.Client, wanted: tuple[str, str]) -> None:
        self.acknowledged: dict[str, str] = {}
        self.in_doubt: list[str] = []
        self.counted: Counter[str] = Counter()
        self.told, self.over = threading.Event(), threading.Event()
        self._portal, self._client = portal, client
        self._file, self._digest = wanted
        self._kinds = (self.hand_in_quickly, self.hand_in_slowly, self.take_quickly, self.take_slowly)
        self._under_way = threading.Barrier(EACH * len(self._kinds) + 1)

    def transfer_until_it_stops(self, moment: float) -> int:
        """Stop it `moment` seconds after every client is in the middle of a transfer; returns its exit code."""
        with ThreadPoolExecutor(self._under_way.parties) as threads:
            clients = [threads.submit(kind) for kind in self._kinds for _ in range(EACH)]
            try:
                self._meet()
                wait(clients, timeout=moment, return_when=FIRST_EXCEPTION)
                self.told.set()
                code = self._portal.stop()
            finally:
                self._under_way.abort()
                self.told.set()
                self.over.set()
        for one in clients:
            one.result()
        return code

    def hand_in_quickly(self) -> None:
        """One upload after another, until there is nobody to take it."""
        draws = random.Random()  # noqa: S311  # draws, no secrets
        meet: Callable[[], None] = self._meet
        while not self.told.is_set():
            upload = draw(draws, 1 << 10, 1 << 20)
            try:
                self.acknowledged[hand_in(self._client, upload, meet)] = upload.sha256
            except Unanswered as lost:
                self._expected()
                self.in_doubt += [upload.sha256] if lost.whole else []
            meet = _go_on

    def hand_in_slowly(self) -> None:
        """Half an upload, and no more before the portal ended: it must not be there."""

        def stall() -> None:
            self._meet()
            self.over.wait()

        try:
            hand_in(self._client, draw(random.Random(), 1 << 20, 4 << 20), stall)  # noqa: S311  # draws, no secrets
        except Unanswered:
            self._expected()
            self.counted["uploads cut"] += 1

    def take_quickly(self) -> None:
        meet: Callable[[], None] = self._meet
        while not self.told.is_set():
            self._take(self._client, meet)
            meet = _go_on

    def take_slowly(self) -> None:
        def stall() -> None:
            self._meet()
            self.over.wait()

        with reluctant(self._client) as client:
            self._take(client, stall)

    def _take(self, client: httpx.Client, begun: Callable[[], None]) -> None:
        """One download: whole with its digest, or an error after fewer bytes than were promised."""
        digest, size, promised = hashlib.sha256(), 0, 0
        try:
            with client.stream("GET", f"/files/{self._file}/content") as answer:
                answer.raise_for_status()
                promised = int(answer.headers["content-length"])
                for piece in answer.iter_raw(1 << 16):
                    begun()
                    begun = _go_on
                    digest.update(piece)
                    size += len(piece)
        except (httpx.TransportError, httpx.HTTPStatusError):
            self._expected()
            assert size < promised or promised == 0
            self.counted["downloads cut" if promised else "downloads refused"] += 1
        else:
            assert (size, digest.hexdigest()) == (WANTED, self._digest)
            self.counted["downloads whole"] += 1

    def _meet(self) -> None:
        """Wait until everybody is in the middle of a transfer."""
        self._under_way.wait(PATIENCE_SECONDS)

    def _expected(self) -> None:
        assert self.told.is_set(), "a transfer broke before the portal was told to stop"


def test_told_to_stop_under_transfers_it_keeps_what_it_acknowledged_and_cuts_the_rest(
    make_portal: MakePortal, figures: Figures
) -> None:
    portal = make_portal()
    portal.prepare(analyst="analyst")
    acknowledged: dict[str, str] = {}
    in_doubt: list[str] = []
    counted: Counter[str] = Counter()
    stops = amount("STOPS")
    for number in range(stops):
        portal.environment["PORTAL_GRACE_SECONDS"] = GRACES[number % len(GRACES)]
        portal.start()
        with portal.client("analyst") as client:
            wanted = client.put("/upload/wanted.bin", content=random.randbytes(WANTED)).json()  # noqa: S311
            acknowledged[wanted["id"]] = wanted["sha256"]
            clients = Clients(portal, client, (wanted["id"], wanted["sha256"]))
            assert clients.transfer_until_it_stops(random.random()) == 0  # noqa: S311  # a draw, no secret
        acknowledged |= clients.acknowledged
        in_doubt += clients.in_doubt
        counted += clients.counted
        invariants.assert_whole(portal, invariants.held(portal), acknowledged, in_doubt)
        assert_every_download_has_an_outcome(portal)
        print(f"{number + 1} of {stops} stops, {len(acknowledged)} files acknowledged", flush=True)
    assert counted["uploads cut"] == stops * EACH
    assert counted["downloads cut"] >= stops * EACH
    assert counted["downloads whole"] > 0
    listed = invariants.held(portal).listed
    figures(
        stops=stops,
        acknowledged=len(acknowledged),
        in_doubt=len(in_doubt),
        lost=sum(listed.get(file) != digest for file, digest in acknowledged.items()),
        partial=sum(digest not in {*acknowledged.values(), *in_doubt} for digest in listed.values()),
        **{name.replace(" ", "_"): number for name, number in counted.items()},
    )


def assert_every_download_has_an_outcome(portal: Served) -> None:
    """Exactly one each, in the database: nothing waits in the journal."""
    events = portal.audit()
    started = [event["id"] for event in events if event["event"] == "file.download_started"]
    ended = [event["details"]["started"] for event in events if event["event"] == "file.download_ended"]
    assert sorted(ended) == sorted(started)


@contextmanager
def reluctant(client: httpx.Client) -> Iterator[httpx.Client]:
    """The same client with little room to receive in, so that the portal has to wait for it."""
    small = httpx.HTTPTransport(socket_options=[(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 14)])
    with httpx.Client(base_url=client.base_url, headers=client.headers, timeout=60, transport=small) as slow:
        yield slow


def _go_on() -> None:
    """Nobody waits any more."""
