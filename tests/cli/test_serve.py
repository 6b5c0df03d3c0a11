"""`portal serve`: every problem is one line and an exit code, before anything listens."""

import os
import resource
import signal
import socket
import subprocess
import sys
from importlib.metadata import version
from typing import Any

import pytest
import uvicorn

from portal.cli import serve
from portal.cli.serve import Supervisor, _supervise
from portal.core.errors import Unavailable
from portal.core.timeouts import ClientTimeouts
from portal.web.connection import HttpConnection
from portal.web.middleware import security_headers

from ..own_redis import OwnRedis
from .conftest import Shell

Calls = list[dict[str, Any]]


@pytest.fixture(autouse=True)
def served(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """What uvicorn was told, instead of listening."""
    calls: Calls = []
    monkeypatch.setattr(uvicorn, "run", lambda app, **told: calls.append({"app": app, **told}))
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    return calls


def test_a_portal_that_is_set_up_is_served(portal: Shell, served: Calls) -> None:
    ran = portal("serve")
    assert (ran.code, ran.out, ran.err) == (0, "", "")
    (told,) = served
    assert (told["app"], told["factory"]) == ("portal.app:serve_app", True)
    assert (told["host"], told["port"], told["workers"]) == ("127.0.0.1", 8000, 1)
    assert told["timeout_graceful_shutdown"] == 30
    assert told["timeout_worker_healthcheck"] == 120  # else one that is slow to begin is killed for ever
    assert told["proxy_headers"] is told["access_log"] is told["server_header"] is False
    assert (told["ws"], told["log_config"]) == ("none", None)
    assert told["http"].func is HttpConnection
    headers = tuple(security_headers(hsts=None).items())
    timeouts = ClientTimeouts(15, 60, 1024)
    assert told["http"].keywords == {"client_timeouts": timeouts, "headers": headers, "grace_seconds": 30}


LIMITED = """
import resource, sys, uvicorn
from portal.cli import main

def tell(*_, **__):
    print(*resource.getrlimit(resource.RLIMIT_NOFILE), *resource.getrlimit(resource.RLIMIT_CORE))

uvicorn.run = tell
for name, soft, hard in zip(sys.argv[1::3], sys.argv[2::3], sys.argv[3::3]):
    resource.setrlimit(getattr(resource, name), (int(soft), int(hard)))
sys.argv = ["portal", "serve"]
main()
"""


@pytest.mark.parametrize(("soft", "hard"), [(256, 1024), (256, 257), (512, 512)])
def test_a_portal_that_serves_may_open_as_much_as_it_may_and_leaves_no_core(
    portal: Shell, soft: int, hard: int
) -> None:
    """In a process of its own, which has these limits before and gets no right to raise a hard one."""
    core = resource.getrlimit(resource.RLIMIT_CORE)[1]
    limits = ["RLIMIT_NOFILE", str(soft), str(hard), "RLIMIT_CORE", str(core), str(core)]
    ran = subprocess.run(
        [sys.executable, "-c", LIMITED, *limits], cwd=portal.folder, capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, f"{hard} {hard} 0 0\n", "")


def test_where_and_how_often_can_be_said(portal: Shell, served: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:  # one that any user may take: 443 is root's
        port = taken.getsockname()[1]
    monkeypatch.setattr(serve, "_supervise", uvicorn.run)
    portal("serve", "--host", "0.0.0.0", "--port", str(port), "--workers", "3")  # noqa: S104  # the claim
    (told,) = served
    assert (told["host"], told["port"], told["workers"]) == ("0.0.0.0", port, 3)  # noqa: S104


def test_that_a_worker_was_killed_is_told_by_the_pipe_on_which_its_answer_is_awaited() -> None:
    supervisor = Supervisor(uvicorn.Config("no:app", log_config=None), sockets=[])
    supervisor.init_processes()
    for _ in range(2):  # the first one, and the one in its place
        (worker,) = supervisor.processes
        worker.process.kill()
        worker.process.join()
        assert worker.parent_conn.poll(10)
        supervisor.should_exit.clear()
        supervisor.keep_subprocess_alive()
    supervisor.terminate_all()
    supervisor.join_all()


@pytest.mark.parametrize("arguments", [("--port", "65536"), ("--port", "-1"), ("--workers", "0"), ("--port", "http")])
def test_what_cannot_be_is_a_wrong_argument(portal: Shell, served: Calls, arguments: tuple[str, str]) -> None:
    assert portal("serve", *arguments).code == 2
    assert served == []


def test_a_refused_configuration_is_one_line_per_problem(
    portal: Shell, served: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"ENV": "production", "DEBUG": "true", "CORS_ORIGINS": "*"}.items():
        monkeypatch.setenv(f"PORTAL_{name}", value)
    ran = portal("serve")
    assert (ran.code, ran.out) == (78, "")
    lines = ran.err.splitlines()
    assert len(lines) == 4
    assert all(line.startswith("portal: PORTAL_") for line in lines)
    assert {line.split()[1] for line in lines} == {
        f"PORTAL_{name}" for name in ("DEBUG", "ALLOWED_HOSTS", "CORS_ORIGINS", "DATABASE_URL")
    }
    assert served == []


@pytest.mark.parametrize(("name", "value"), [("BLOB_URLS", "s3://bucket"), ("KEY_URLS", "vault:x"), ("TYPO", "1")])
def test_what_nothing_knows_is_one_line(
    portal: Shell, served: Calls, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"PORTAL_{name}", value)
    ran = portal("serve")
    assert (ran.code, len(ran.err.splitlines())) == (78, 1)
    assert f"PORTAL_{name}" in ran.err
    assert served == []


def test_a_database_without_tables_is_told_what_to_do(keyed: Shell, served: Calls) -> None:
    (keyed.folder / "var").mkdir()
    (keyed.folder / "var" / "portal.db").touch()
    ran = keyed("serve")
    assert (ran.code, ran.err) == (78, "portal: the database has no tables yet: run `portal db upgrade`\n")
    assert served == []


@pytest.mark.parametrize("command", [("serve",), ("db", "check"), ("db", "upgrade"), ("init",), ("sweep",)])
def test_a_database_that_is_away_is_one_line_and_another_code(
    keyed: Shell, served: Calls, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    monkeypatch.setenv("PORTAL_DATABASE_URL", f"postgresql://portal:c4n4ry@127.0.0.1:{port}/portal")
    ran = keyed(*command)
    assert (ran.code, ran.out) == (69, "")
    assert ran.err == (
        f"portal: the database portal at 127.0.0.1:{port}: nothing listens there (connection refused); try again\n"
    )
    assert served == []


def test_a_redis_that_is_away_is_one_line_and_gives_no_password_away(
    portal: Shell, served: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTAL_RATE_LIMIT_URL", f"unix://:c4n4ry@{portal.folder}/no-redis.sock")
    ran = portal("serve")
    assert (ran.code, ran.out) == (69, "")
    assert ran.err == "portal: PORTAL_RATE_LIMIT_URL: Redis does not answer as it should (No such file or directory).\n"
    assert served == []
    assert portal("sweep").code == 0


def test_a_redis_that_answers_is_used(
    portal: Shell, served: Calls, own_redis: OwnRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTAL_RATE_LIMIT_URL", own_redis.url)
    ran = portal("serve")
    assert (ran.code, ran.err, len(served)) == (0, "", 1)
    assert own_redis.ask("KEYS", "*") == ["portal:check"]


@pytest.mark.parametrize(("host", "shown"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")])
def test_a_port_that_is_taken_is_one_line(portal: Shell, served: Calls, host: str, shown: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as taken:
        port = taken.getsockname()[1]
        ran = portal("serve", "--host", host, "--port", str(port))
    assert (ran.code, ran.out, served) == (69, "", [])
    assert ran.err == f"portal: {shown}:{port} is in use: is a portal running already? --port takes another\n"


def test_an_address_of_another_machine_is_one_line(portal: Shell, served: Calls) -> None:
    ran = portal("serve", "--host", "192.0.2.1")
    assert (ran.code, ran.out, served) == (78, "", [])
    assert ran.err == "portal: 192.0.2.1:8000 cannot be listened on (Cannot assign requested address)\n"


def test_a_person_at_a_terminal_is_told_where(portal: Shell, served: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portal.cli.serve._is_terminal", lambda: True)
    ran = portal("serve", "--port", "0")
    assert len(served) == 1
    for told in ("http://127.0.0.1:0/docs", str(portal.folder / "var"), version("portal"), "Ctrl-C"):
        assert told in ran.err


def test_several_workers_do_not_share_a_log_file(portal: Shell, served: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTAL_LOG_FILE", "portal.log")
    ran = portal("serve", "--workers", "2")
    assert (ran.code, served) == (78, [])
    assert portal("serve", "--workers", "1").code == 0


def test_a_stop_by_signal_is_a_success(portal: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    handlers: dict[int, Any] = {}
    monkeypatch.setattr(signal, "signal", lambda number, handler: handlers.update({number: handler}))
    portal("serve")
    with pytest.raises(SystemExit) as ended:
        handlers[signal.SIGTERM](signal.SIGTERM, None)
    assert ended.value.code == 0


def test_the_program_itself_says_the_same(keyed: Shell) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "portal", "serve"],
        cwd=keyed.folder,
        env={**os.environ, "PORTAL_ENV": "production", "PORTAL_ALLOWED_HOSTS": "a.example"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (78, "")
    assert ran.stderr == (
        "portal: PORTAL_DATABASE_URL is SQLite: set PORTAL_ALLOW_SQLITE=true to run one machine on it\n"
    )


def test_workers_that_cannot_start_are_no_success() -> None:
    with pytest.raises(Unavailable, match="a worker could not start"):
        _supervise("no:app", host="127.0.0.1", port=0, workers=1, log_config=None)
