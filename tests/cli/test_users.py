"""`portal users`: accounts are run, passwords come on standard input, and nothing secret is shown twice."""

import contextlib
import os
import pty
import re
import subprocess
import sys

import pytest

from portal.bootstrap import Portal
from portal.core.principal import NOWHERE
from portal.features.identity.grant_errors import InvalidGrant

from .conftest import Ran, Shell

PASSWORD = "correct horse battery staple"


def create(shell: Shell, name: str = "alice", role: str = "analyst", *more: str, stdin: str = PASSWORD + "\n") -> Ran:
    return shell("users", "create", name, "--role", role, "--password-stdin", *more, stdin=stdin)


def signs_in(shell: Shell, name: str, password: str) -> str:
    async def sign_in(portal: Portal) -> str:
        await portal.identity.sessions.sign_in(name, password, NOWHERE)
        return (await portal.identity.users.named(name)).role.value

    return shell.inside(sign_in)


@pytest.mark.parametrize("role", ["admin", "analyst", "uploader", "auditor"])
def test_an_account_of_each_role_is_made(portal: Shell, role: str) -> None:
    ran = create(portal, "alice", role)
    assert (ran.code, ran.out, ran.err) == (0, f"created {role} alice\n", "")
    assert signs_in(portal, "alice", PASSWORD) == role


def test_a_new_account_is_told_in_json(portal: Shell) -> None:
    told = create(portal, "alice", "auditor", "--json").json
    assert (told["name"], told["role"]) == ("alice", "auditor")
    assert portal.query("SELECT id FROM users") == [(told["id"].replace("-", ""),)]


def test_a_new_account_is_on_record(portal: Shell) -> None:
    create(portal)
    (event,) = portal.record("user.created")
    assert event["actor"].startswith("system:cli/")
    assert event["details"] == {"name": "alice", "role": "analyst"}


@pytest.mark.parametrize("line_end", ["", "\n", "\r\n"])
def test_a_password_is_one_line_without_its_end(portal: Shell, line_end: str) -> None:
    spaced = "  spaces stay, 12 of them  "
    create(portal, stdin=f"{spaced}{line_end}")
    assert signs_in(portal, "alice", spaced) == "analyst"


def test_a_role_that_is_none_is_a_wrong_argument(portal: Shell) -> None:
    ran = create(portal, role="root")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("portal: Invalid value for '--role': 'root' is not one of 'admin',")
    assert portal.query("SELECT id FROM users") == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("users", "create", "alice", "--role", "analyst"),
        ("users", "create", "alice", "--password-stdin"),
        ("users", "create", "--role", "analyst", "--password-stdin"),
        ("users", "create", "alice", "--role", "analyst", "--password", PASSWORD),
    ],
)
def test_what_is_missing_or_unknown_is_a_wrong_argument(portal: Shell, arguments: tuple[str, ...]) -> None:
    assert portal(*arguments, stdin=PASSWORD).code == 2
    assert portal.query("SELECT id FROM users") == []


@pytest.mark.parametrize("name", ["alice", "ALICE", "\uff41lice"])
def test_a_name_is_taken_once_however_it_is_written(portal: Shell, name: str) -> None:
    create(portal)
    ran = create(portal, name)
    assert (ran.code, ran.out) == (3, "")
    assert ran.err == "portal: There is already a user of that name.\n"


@pytest.mark.parametrize("password", ["", "short", "11 letters!", "x" * 1025])
def test_a_password_that_will_not_do_is_refused(portal: Shell, password: str) -> None:
    ran = create(portal, stdin=password + "\n")
    assert (ran.code, ran.out) == (3, "")
    assert "12 characters" in ran.err
    assert portal.query("SELECT id FROM users") == []


@pytest.mark.parametrize("name", ["", "two words", "zero\u200bwidth", "a" * 65])
def test_a_name_that_will_not_do_is_refused(portal: Shell, name: str) -> None:
    assert create(portal, name).code == 3
    assert portal.query("SELECT id FROM users") == []


def test_the_password_is_never_shown(portal: Shell) -> None:
    for ran in (
        create(portal),
        create(portal),
        create(portal, "bob", "auditor", "--json"),
        create(portal, "two words"),
        create(portal, "eve", "root"),
    ):
        assert PASSWORD not in ran.out + ran.err


def test_accounts_are_listed_newest_first(portal: Shell) -> None:
    assert portal("users", "list").out == "no accounts\n"
    create(portal, "alice", "analyst")
    create(portal, "bob", "auditor")
    assert portal("users", "list").out == "auditor   enabled   bob\nanalyst   enabled   alice\n"
    assert [user["name"] for user in portal("users", "list", "--json").json] == ["bob", "alice"]


def test_an_account_is_changed_on_record_of_the_command_line(portal: Shell) -> None:
    create(portal)
    assert portal("users", "change", "ALICE", "--role", "uploader").out == "alice is uploader, enabled\n"
    assert portal("users", "change", "alice", "--disable", "--json").json["disabled"] is True
    with pytest.raises(InvalidGrant):
        signs_in(portal, "alice", PASSWORD)
    portal("users", "change", "alice", "--enable")
    assert signs_in(portal, "alice", PASSWORD) == "uploader"
    events = portal.record("user.updated")
    assert len(events) == 3
    assert all(event["actor"].startswith("system:cli/") for event in events)


def test_the_last_administrator_stays_for_the_command_line_too(portal: Shell) -> None:
    create(portal, "root", "admin")
    ran = portal("users", "change", "root", "--disable")
    assert (ran.code, ran.out, ran.err) == (3, "", "portal: Without this account nobody could run the portal.\n")


def test_an_administrator_who_forgot_the_password_gets_in_again(portal: Shell) -> None:
    create(portal, "root", "admin")
    told = portal("users", "reset", "root", "--json").json
    with pytest.raises(InvalidGrant):
        signs_in(portal, "root", PASSWORD)

    async def set_password(opened: Portal) -> None:
        await opened.identity.registration.set_password(told["secret"], PASSWORD, NOWHERE)

    portal.inside(set_password)
    assert signs_in(portal, "root", PASSWORD) == "admin"
    assert portal.query("SELECT count(*) FROM invitations") == [(0,)]
    assert told["secret"] not in str(portal.query("SELECT body FROM audit"))


def test_sessions_are_ended_and_authenticators_removed(portal: Shell) -> None:
    create(portal)
    signs_in(portal, "alice", PASSWORD)
    assert portal("users", "logout", "alice").out == "alice is signed out everywhere\n"
    assert portal.query("SELECT u.epoch - s.epoch FROM users u JOIN sessions s ON s.user_id = u.id") == [(1,)]
    ran = portal("users", "reset-totp", "alice")
    assert (ran.code, ran.err) == (3, "portal: This account has no authenticator, or none to confirm.\n")


@pytest.mark.parametrize("command", ["reset", "reset-totp", "logout"])
@pytest.mark.parametrize("name", ["nobody", "two words", ""])
def test_who_is_not_there_is_not_found(portal: Shell, command: str, name: str) -> None:
    ran = portal("users", command, name)
    assert (ran.code, ran.out, ran.err) == (3, "", f"portal: There is no account named {name!r}.\n")


def test_a_change_of_nothing_is_refused(portal: Shell) -> None:
    create(portal)
    ran = portal("users", "change", "alice")
    assert (ran.code, ran.out) == (2, "")
    assert "say what to change: --role, --disable or --enable" in ran.err


def test_an_account_without_a_password_has_a_secret_for_one(portal: Shell) -> None:
    made = portal("users", "create", "alice", "--role", "analyst", "--no-password", "--json").json

    async def set_password(opened: Portal) -> None:
        await opened.identity.registration.set_password(made["secret"], PASSWORD, NOWHERE)

    with pytest.raises(InvalidGrant):
        signs_in(portal, "alice", PASSWORD)
    portal.inside(set_password)
    assert signs_in(portal, "alice", PASSWORD) == "analyst"
    shown = portal("users", "create", "bob", "--role", "auditor", "--no-password").out
    assert shown.startswith("created auditor bob\nsecret: pinv_")


def test_a_password_is_given_in_one_way(portal: Shell) -> None:
    assert create(portal, "alice", "analyst", "--no-password").code == 2
    assert portal.query("SELECT id FROM users") == []


def test_a_password_on_a_terminal_is_asked_for_twice_and_not_shown(portal: Shell) -> None:
    """In a process of its own, on a terminal of its own."""
    parent, child = pty.openpty()
    arguments = [sys.executable, "-m", "portal", "users", "create", "alice", "--role", "analyst"]
    with subprocess.Popen(arguments, stdin=child, stdout=child, stderr=child, start_new_session=True) as process:
        os.close(child)
        seen = b""
        for _ in range(2):
            while not re.search(rb"(password|confirmation)[^\r\n]*: $", seen):
                seen += os.read(parent, 1024)
            os.write(parent, PASSWORD.encode() + b"\n")
            seen += os.read(parent, 1)  # the line end that follows a line that was not shown
        with contextlib.suppress(OSError):  # how a terminal says that nobody is left
            while more := os.read(parent, 1024):
                seen += more
    os.close(parent)
    assert process.returncode == 0, seen
    assert b"created analyst alice" in seen
    assert PASSWORD.encode() not in seen
    assert signs_in(portal, "alice", PASSWORD) == "analyst"
