"""Portals that serve, for one test or for all tests of a worker, and clients of them (`served.py`)."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from .desk import DESK, Desk
from .matrix_world import World, opened
from .served import PASSWORD, Running, Served, _end, _free_port, _make, running

__all__ = ["PASSWORD", "Running", "Served", "_end", "_free_port", "_make", "running"]
ORIGIN = "https://desk.example.org"  # may call the portal that a proxy fronts
MakePortal = Callable[..., Served]


@pytest.fixture
def make_portal(tmp_path: Path) -> Iterator[MakePortal]:
    """Makes portals of a test's own, with settings as keyword arguments: `prepare`, then `start`. Each is stopped."""
    made: list[Served] = []

    def make(**settings: str) -> Served:
        portal = _make(tmp_path / f"portal-{len(made)}", settings)
        made.append(portal)
        return portal

    yield make
    for portal in made:
        _end(portal)


@pytest.fixture(scope="session")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A running portal that tests of one worker share, with one user of each role, named after it."""
    roles = {role: role for role in ("admin", "analyst", "uploader", "auditor")}
    roles |= {"other": "analyst", "mistaken": "analyst"}  # who mistypes has to wait
    with running(tmp_path_factory.mktemp("shared") / "portal", {"MAX_UPLOAD_BYTES": str(64 << 20)}, **roles) as made:
        yield made


@pytest.fixture(scope="session")
def fronted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A portal as a proxy on this machine would front it, with one origin that may call it and no documents."""
    settings = {"CORS_ORIGINS": ORIGIN, "TRUSTED_PROXIES": "127.0.0.1,10.0.0.0/8", "DOCS": "false"}
    with running(tmp_path_factory.mktemp("fronted") / "portal", settings, analyst="analyst") as made:
        yield made


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Every kind of caller, at a portal that the suites around the access matrix share."""
    with opened(tmp_path_factory.mktemp("world")) as made:
        yield made


@pytest.fixture
def analyst(portal: Served) -> Iterator[httpx.Client]:
    with portal.client("analyst") as client:
        yield client


@pytest.fixture(scope="session")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """AccountNames around cases, at a portal that tests of one worker share."""
    folder = tmp_path_factory.mktemp("desk") / "portal"
    with contextlib.ExitStack() as stack:
        portal = stack.enter_context(running(folder, {"MAX_UPLOAD_BYTES": str(64 << 20)}, **DESK))
        clients = {name: stack.enter_context(portal.client(name)) for name in DESK}
        clients["anonymous"] = stack.enter_context(httpx.Client(base_url=f"{portal.url}/api/v1"))
        yield Desk(portal, clients)
