"""Log lines: JSON, one a line, without secrets or control characters."""

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portal.core import log
from portal.core.ids import new_id
from portal.core.prefixed_tokens import API_TOKEN, LINK, LINK_SESSION, PREFIXES, TokenKind
from portal.core.secrets import Secret
from portal.features.identity.one_time_secrets import new_secret
from portal.features.identity.refresh import RefreshTokens

Lines = Callable[[], list[str]]
CANARY = "c4n4ry-c4n4ry"
JWT = f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.{CANARY}"
CHATTY = ("aiobotocore", "aiohttp", "alembic", "asyncio", "botocore", "httpcore", "httpx", "sqlalchemy")
LEAKS = {
    "a token": JWT,
    "a token in a sentence": f"refused {JWT}, try again",
    "a one-time secret": new_secret() + CANARY,
    "an API token": TokenKind(API_TOKEN).new() + CANARY,
    "a link, in a path": f"/api/v1/shared/{TokenKind(LINK).new()}{CANARY}/content",
    "a link's token": TokenKind(LINK_SESSION).new() + CANARY,
    "a refresh token, in a path": f"/auth/{RefreshTokens([Secret(bytes(32))]).issue(new_id())[0]}{CANARY}",
    "what an authenticator scans": f"otpauth://totp/portal:ada?secret={CANARY}&issuer=portal",
    "a token of Vault": f"X-Vault-Token: hvs.CAESI{CANARY}{CANARY}",
    "a token of OpenBao": f"token s.{CANARY}{CANARY}",
    "a bearer": f"Bearer {CANARY}",
    "a header": f"Authorization: bearer   {CANARY}",
    "a header as JSON": json.dumps({"authorization": f"Bearer {CANARY}"}),
    "a header in bytes": str({b"authorization": f"Bearer {CANARY}".encode()}),
    "basic credentials": f"Basic {CANARY}",
    "a database URL": f"postgresql://portal:{CANARY}@db:5432/portal",
    "a database URL with an escape": f"postgresql+asyncpg://portal:{CANARY}%40x@db/portal?ssl=require",
    "two URLs": f"moved a://u:{CANARY}@one to b://u:{CANARY}@two",
}
leaks = pytest.mark.parametrize("leak", LEAKS.values(), ids=LEAKS)


@pytest.fixture
def lines(tmp_path: Path) -> Iterator[Lines]:
    """Everything logged so far; the process's logging is put back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    levels = {name: logging.getLogger(name).level for name in CHATTY}
    path = tmp_path / "logs" / "portal.log"
    log.configure(file=path)
    (ours,) = root.handlers
    yield lambda: path.read_text(encoding="utf-8").splitlines()
    ours.close()
    root.handlers = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)
    structlog.reset_defaults()


def fail_with(text: str) -> NoReturn:
    password = f"{CANARY} in a local variable"
    raise ValueError(text, password[:0]) from KeyError(text)


def only(lines: Lines) -> dict[str, Any]:
    (line,) = lines()
    told: dict[str, Any] = json.loads(line)
    return told


def test_a_line_says_what_when_how_bad_and_from_where(lines: Lines) -> None:
    log.get("portal.somewhere").warning("blob_missing", file_id="f1", size=7, whole=True, none=None)
    told = only(lines)
    assert told["timestamp"].endswith("Z")
    assert told | {"timestamp": ""} == {
        "event": "blob_missing",
        "level": "warning",
        "logger": "portal.somewhere",
        "timestamp": "",
        "file_id": "f1",
        "size": 7,
        "whole": True,
        "none": None,
    }


def test_what_libraries_say_is_rendered_alike(lines: Lines) -> None:
    logging.getLogger("some.library").error("lost %s of %d", "one", 3)
    told = only(lines)
    assert (told["event"], told["level"], told["logger"]) == ("lost one of 3", "error", "some.library")


@leaks
def test_our_own_lines_hide_credentials(lines: Lines, leak: str) -> None:
    log.get("x").error(leak, value=leak, nested={"deep": [leak, (leak,)]})
    (line,) = lines()
    assert CANARY not in line
    assert line.count("***") >= 4


@leaks
def test_objects_hide_credentials(lines: Lines, leak: str) -> None:
    log.get("x").error("refused", error=ValueError(leak), raw=leak.encode(), several={leak})
    (line,) = lines()
    assert CANARY not in line
    assert line.count("***") >= 3


@leaks
def test_libraries_lines_hide_credentials(lines: Lines, leak: str) -> None:
    logging.getLogger("library").error("heard %s", leak)
    logging.getLogger("library").error(leak)
    assert len(lines()) == 2
    assert CANARY not in "".join(lines())


@leaks
@pytest.mark.parametrize("name", ["ours", "theirs"])
def test_a_traceback_hides_credentials_and_local_variables(lines: Lines, leak: str, name: str) -> None:
    logger = log.get("ours") if name == "ours" else logging.getLogger("theirs")
    try:
        fail_with(leak)
    except ValueError:
        logger.exception("it broke")
    told = only(lines)
    assert told["exception"][0]["exc_type"] == "ValueError"
    assert told["exception"][0]["frames"][-1]["name"] == "fail_with"
    assert CANARY not in json.dumps(told)


def test_a_new_kind_of_secret_is_one_that_the_log_hides(lines: Lines) -> None:
    with pytest.raises(ValueError, match="would not hide"):
        TokenKind("new_")
    for prefix in PREFIXES:
        log.get("x").error(f"{prefix}{'a' * 46}")
    assert all("aaaa" not in line for line in lines())


def test_words_around_a_credential_stay(lines: Lines) -> None:
    log.get("x").error("could not reach postgresql://portal:secret@db:5432/portal in 5 s")
    assert only(lines)["event"] == "could not reach postgresql***db:5432/portal in 5 s"


@pytest.mark.parametrize("text", ["http://db:5432/x", "file_id=01890f", "eyJ", "a.b.c", "the bear eats"])
def test_harmless_text_stays_whole(lines: Lines, text: str) -> None:
    log.get("x").error(text)
    assert only(lines)["event"] == text


@pytest.mark.parametrize(
    "text", ["a\nINFO: forged", "a\r\nb", "\x1b[2Jgone", "\x00", "\u2028", "\x85", "\x9b31m", "é\U0001f600"]
)
def test_control_characters_and_line_ends_are_escaped(lines: Lines, text: str) -> None:
    log.get("x").error(text, value=text)
    (line,) = lines()
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["value"] == text


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(event=st.text(), value=st.recursive(st.none() | st.integers() | st.text(), st.lists))
def test_any_value_is_one_line_of_json(lines: Lines, event: str, value: Any) -> None:
    before = len(lines())
    log.get("x").error(event, value=value)
    after = lines()
    assert len(after) == before + 1
    assert "event" in json.loads(after[-1])


def test_a_terminal_obeys_nothing_that_a_path_holds() -> None:
    orders = ["\x1b]0;title\x07", "\x1b[2J", "\x9b31m", "\u202e", "\n"]
    shown = log._for_people()(None, "info", {"event": "request", "path": f"/{''.join(orders)}"})
    assert "title" in shown
    assert not [order for order in orders if order in shown]


def test_debug_lines_are_not_shown(lines: Lines) -> None:
    log.get("x").debug("quiet")
    logging.getLogger("library").debug("quiet")
    assert lines() == []


@pytest.mark.usefixtures("lines")
def test_the_level_is_the_operators() -> None:
    assert logging.root.level == logging.INFO
    log.configure(logging.ERROR)
    assert logging.root.level == logging.ERROR


@pytest.mark.parametrize("name", [*CHATTY, "botocore.auth", "sqlalchemy.engine.Engine"])
def test_debug_never_shows_statements(lines: Lines, name: str) -> None:
    logging.root.setLevel(logging.DEBUG)
    logging.getLogger("anyone").debug("shown")
    logging.getLogger(name).info("INSERT %s", CANARY)
    assert only(lines)["event"] == "shown"


def test_a_folder_made_for_the_log_is_private(tmp_path: Path, lines: Lines) -> None:
    assert lines() == []
    assert (tmp_path / "logs").stat().st_mode & 0o777 == 0o700
