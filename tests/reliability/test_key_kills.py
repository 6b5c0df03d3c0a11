"""A job on all keys whose process is killed (`kill -9`) at any moment: another goes on behind the last data key.

Comes in: data keys under an old master key, on both databases. Leaves: each under the new one, wrapped once, and open.
"""

import random
import time
from collections import Counter
from collections.abc import Callable

import pytest

from ..e2e.conftest import MakePortal, Served
from .amounts import amount
from .conftest import Figures
from .key_portals import all_open, ask, make_data_keys, with_first, with_master_keys

PAGE = 100  # data keys: so often `verify` has a checkpoint
SCOPES = [f"case:{number:032x}" for number in range(PAGE + 20)]
KEYS = "SELECT id, provider_key_id, wrapped, retired_at FROM data_keys ORDER BY id"
REWRAPPED = "SELECT count(*) FROM audit WHERE event = 'key.rewrapped'"
DONE = "SELECT coalesce(max(progress_done), 0) FROM jobs WHERE kind = 'keys.verify'"
LEASE_IS_OVER = "UPDATE jobs SET lease_until = started_at WHERE status = 'running'"
ENOUGH = 10  # runs that end a job, whatever it has behind it


@pytest.fixture(params=["sqlite", "postgres"])
def portal(request: pytest.FixtureRequest, make_portal: MakePortal) -> Served:
    of_postgres = {}
    if request.param == "postgres":
        url = request.getfixturevalue("own_postgres").url
        of_postgres = {"DATABASE_URL": url, "DATABASE_SSL_MODE": "disable"}
    made = with_master_keys(make_portal(**of_postgres))
    made.prepare()
    return made


def killed(portal: Served, command: str, moment: Callable[[], bool]) -> bool:
    """Run the command, and kill it at this moment, if it has not ended before. Its lease is over then, as a minute
    later.
    """
    process = portal.spawn("portal.log", "keys", command)
    while process.poll() is None and not moment():
        time.sleep(0.01)
    process.kill()
    died = process.wait() != 0
    ask(portal, LEASE_IS_OVER)
    return died


def ended(portal: Served, command: str) -> None:
    """The command is repeated until it succeeds: a job whose processes died too often has failed, and a new one goes
    on.
    """
    codes: list[int] = []
    while not codes or (codes[-1] != 0 and len(codes) < ENOUGH):
        codes.append(portal.cli("keys", command, check=False).returncode)
    assert codes[-1] == 0, codes


def test_a_rewrap_that_is_killed_goes_on_and_wraps_each_data_key_once(portal: Served, figures: Figures) -> None:
    made, kills = make_data_keys(portal, SCOPES), amount("KEY_JOB_KILLS")
    before = ask(portal, KEYS)
    with_first(portal, "NEW_KEY", "OLD_KEY")
    deaths = 0
    for target in sorted(random.choices(range(len(SCOPES)), k=kills)):  # noqa: S311  # no secret
        deaths += killed(portal, "rewrap", lambda target=target: ask(portal, REWRAPPED)[0][0] >= target)  # type: ignore[misc]
        assert all_open(portal, made)
    ended(portal, "rewrap")
    after = ask(portal, KEYS)
    times = Counter(subject for (subject,) in ask(portal, "SELECT subject FROM audit WHERE event = 'key.rewrapped'"))
    lost = {key for key, *_ in before} ^ {key for key, *_ in after}
    assert (lost, set(times.values()), len(times)) == (set(), {1}, len(made))
    assert len({provider for _, provider, *_ in after}) == 1
    assert all_open(with_first(portal, "NEW_KEY"), made)
    twice = sum(number > 1 for number in times.values())
    figures(database=named(portal), kills=deaths, data_keys=len(made), lost=len(lost), wrapped_twice=twice)
    assert deaths > 0


def test_a_verify_that_is_killed_goes_on_behind_its_checkpoint(portal: Served, figures: Figures) -> None:
    made, pages = make_data_keys(portal, SCOPES), len(SCOPES) // PAGE
    before = ask(portal, KEYS)
    deaths = sum(
        killed(portal, "verify", lambda page=page: ask(portal, DONE)[0][0] >= page * PAGE)  # type: ignore[misc]
        for page in range(pages + 1)
    )
    ended(portal, "verify")
    ((status, done),) = ask(portal, "SELECT status, progress_done FROM jobs WHERE kind = 'keys.verify'")
    assert (status, done, ask(portal, KEYS)) == ("done", len(made), before)
    figures(database=named(portal), kills=deaths, data_keys=len(made), seen=done)
    assert deaths > 0


def named(portal: Served) -> str:
    return "postgresql" if "PORTAL_DATABASE_URL" in portal.environment else "sqlite"
