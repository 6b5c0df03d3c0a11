"""Who asks the questions of the access matrix, and what they ask of.

Comes in: a portal that serves. Leaves: a client for every column of the table, credentials that are good for nothing,
and objects, each made by whom it belongs to when it is first named.
"""

import secrets
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx

from portal.core import clock
from portal.core.ids import new_id
from portal.core.secrets import parse_key
from portal.features.authz.policy import GRANTABLE
from portal.features.identity.tokens import AccessTokens

from .served import PASSWORD, Served, running

ACCOUNTS = {
    "othr": "analyst",
    "own": "analyst",
    "lead": "analyst",
    "ctrb": "analyst",
    "read": "analyst",
    "hand": "analyst",
    "upl": "uploader",
    "aud": "auditor",
    "adm": "admin",
    "grnt": "analyst",
}
OTHERS = {"signs_in": "uploader", "ended": "analyst"}  # whom no column is about
MARK = "seldom-seen-word"  # in every name and title: no refusal tells it
CONTENT = "what downloads give and nothing else"
ANY = {"If-Match": "*"}


def done(answer: httpx.Response) -> Any:
    """What was made, after it was."""
    assert answer.is_success, answer.text
    return answer.json() if answer.content else None


class World:
    """A portal, a client of every caller, and the objects that they may share as long as nobody changes them."""

    def __init__(self, portal: Served) -> None:
        self.portal = portal
        self.clients: dict[str, httpx.Client] = {}
        self.renew()

    def renew(self) -> None:
        """Everything anew that an end to everything took: sessions, tokens, links, and the objects that are shared."""
        self.close()
        self.clients = {name: self.portal.client(name) for name in ACCOUNTS} | {"anon": self.holding(None)}
        self.shared = Objects(self, "own")
        self._admit()

    def holding(self, credential: str | None) -> httpx.Client:
        headers = {} if credential is None else {"Authorization": f"Bearer {credential}"}
        return httpx.Client(base_url=f"{self.portal.url}/api/v1", headers=headers, timeout=60)

    def close(self) -> None:
        for client in self.clients.values():
            client.close()

    def id_of(self, who: str) -> str:
        return str(done(self.clients[who].get("/users/me"))["id"])

    def redeemed(self, secret: str) -> str:
        return str(done(self.clients["anon"].post("/links/redeem", json={"secret": secret}))["token"])

    def sign_in_again(self, who: str) -> None:
        self.clients[who].close()
        self.clients[who] = self.portal.client(who)

    def _admit(self) -> None:
        """Those who come by something that was made for them: tokens and links."""
        every, lead = sorted(GRANTABLE), self.clients["lead"]
        tokens: dict[str, tuple[httpx.Client, dict[str, Any]]] = {
            "tok": (self.clients["own"], {"permissions": every}),
            "upto": (lead, {"permissions": ["files:upload"]}),
            "conf": (lead, {"permissions": every, "case_id": self.shared["leads_case"]}),
        }
        for column, (owner, body) in tokens.items():
            made = done(owner.post("/tokens", json={"name": column, **body}))
            self.clients[column] = self.holding(made["token"])
        links: dict[str, tuple[str, dict[str, Any]]] = {
            "dlnk": ("download", {"file_ids": [self.shared["case_file"]]}),
            "ulnk": ("upload", {"case_id": self.shared["case"]}),
        }
        for column, (kind, body) in links.items():
            made = done(lead.post(f"/links/{kind}", json={"max_uses": 100, **body}))
            self.clients[column] = self.holding(self.redeemed(made["secret"]))


class Objects(dict[str, str]):
    """Ids by what an object is to the table, for one caller. Each is made when it is first asked for.

    Those of `others` are used, where they are given, but for what is the caller's own.
    """

    def __init__(self, world: World, caller: str, others: "Objects | None" = None) -> None:
        super().__init__(password=PASSWORD, stylesheet="swagger-ui.css")
        self._clients = world.clients
        self._world = world
        self._others = others
        self._caller = caller if caller in ACCOUNTS else "own"

    def __missing__(self, name: str) -> str:
        theirs = None if name in {"me", "own_token", "session"} else self._others
        self[name] = made = self._make(name) if theirs is None else theirs[name]
        return made

    def _make(self, name: str) -> str:
        makers: dict[str, Callable[[], str]] = {
            "fresh": _word,
            "me": lambda: self._world.id_of(self._caller),
            "owner": lambda: self._world.id_of("own"),
            "inbox_file": lambda: self._file("own"),
            "case_file": lambda: self._file("lead", case_id=self["case"]),
            "case": self._case,
            "full_case": lambda: self["case"] if self["case_file"] else "",
            "owners_case": lambda: self._made("own", "/cases", title=_word())["id"],
            "leads_case": lambda: self._made("lead", "/cases", title=_word())["id"],
            "closed_case": self._closed_case,
            "closed_number": lambda: done(self._clients["lead"].get(f"/cases/{self['closed_case']}"))["number"],
            "shredded_case": self._shredded_case,
            "receipt": lambda: self._receipt_of(self["shredded_case"]),
            "user": lambda: self._account()[0],
            "newcomer": lambda: self._account()[1],
            "member": self._member,
            "grant": lambda: self._grant("own", self["inbox_file"]),
            "case_grant": lambda: self._grant("lead", self["case_file"]),
            "invitation": lambda: self._made("adm", "/invitations", role="uploader")["id"],
            "job": self._job,
            "session": lambda: _session(self._clients["own"]),
            "owners_session": self._other_session,
            "token": lambda: self._token("own"),
            "own_token": lambda: self._token(self._caller),
            "link": lambda: self._link("own", self["inbox_file"])["id"],
            "case_link": lambda: self._link("ctrb", self["case_file"])["id"],
            "link_secret": lambda: self._link("own", self["inbox_file"])["secret"],
        }
        return makers[name]()

    def _made(self, who: str, path: str, **body: Any) -> Any:
        return done(self._clients[who].post(path, json=body))

    def _file(self, who: str, **params: str) -> str:
        entry = done(self._clients[who].put(f"/upload/{_word()}", content=CONTENT, params=params))
        self._made(who, f"/files/{entry['id']}/grants", user_name="grnt")
        return str(entry["id"])

    def _case(self) -> str:
        case = self._made("lead", "/cases", title=_word())
        for name, role in (("ctrb", "contributor"), ("read", "reader"), ("hand", "uploader")):
            self._made("lead", f"/cases/{case['id']}/members", user_name=name, role=role)
        return str(case["id"])

    def _closed_case(self) -> str:
        case = self._made("lead", "/cases", title=_word())
        done(self._clients["lead"].patch(f"/cases/{case['id']}", json={"status": "closed"}, headers=ANY))
        return str(case["id"])

    def _shredded_case(self) -> str:
        case_id = self._closed_case()
        number = done(self._clients["lead"].get(f"/cases/{case_id}"))["number"]
        self._made("adm", f"/admin/cases/{case_id}/shred", case_number=number)
        self._receipt_of(case_id)  # its job writes until then
        return case_id

    def _receipt_of(self, case_id: str) -> str:
        path = f"/admin/cases/{case_id}/shredding"
        while (found := done(self._clients["adm"].get(path))["receipt_id"]) is None:
            time.sleep(0.1)
        return str(found)

    def _account(self) -> tuple[str, str]:
        made = self._made("adm", "/users", name=_word(), role="analyst")["user"]
        return made["id"], made["name"]

    def _member(self) -> str:
        user_id, name = self._account()
        self._made("lead", f"/cases/{self['case']}/members", user_name=name, role="reader")
        return user_id

    def _job(self) -> str:
        """Of another release, so that no worker takes it: no route makes one."""
        job_id, now = new_id(), clock.now().replace(tzinfo=None).isoformat(" ")
        values = (job_id.hex, "of_another_release", "{}", now, "system:test", "queued", now, 0, False)
        names = "id, kind, payload, created_at, created_by, status, run_after, attempts, cancel_requested"
        with closing(sqlite3.connect(self._world.portal.folder / "var" / "portal.db")) as connection, connection:
            connection.execute(f"INSERT INTO jobs ({names}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", values)  # noqa: S608
        return str(job_id)

    def _grant(self, who: str, file_id: str) -> str:
        user_id, name = self._account()
        self._made(who, f"/files/{file_id}/grants", user_name=name)
        return user_id

    def _token(self, who: str) -> str:
        return str(self._made(who, "/tokens", name=_word(), permissions=["files:read"])["id"])

    def _other_session(self) -> str:
        with self._world.portal.client("own") as client:
            return _session(client)

    def _link(self, who: str, file_id: str) -> Any:
        return self._made(who, "/links/download", file_ids=[file_id], message=MARK)


def _session(client: httpx.Client) -> str:
    return str(next(each["id"] for each in done(client.get("/sessions"))["items"] if each["current"]))


def _word() -> str:
    return f"{MARK}-{secrets.token_hex(6)}"


@contextmanager
def opened(folder: Path) -> Iterator[World]:
    """A world while the block runs; who is invited may register."""
    everybody = ACCOUNTS | OTHERS
    with running(folder / "portal", {"REGISTRATION": "invite"}, **everybody) as portal, closing(World(portal)) as world:
        yield world


def spent(world: World) -> dict[str, str]:
    """Credentials that are good for nothing, by what is wrong with them. Every one was good, or is, somewhere else."""
    portal = world.portal
    lead, admin = world.clients["lead"], world.clients["adm"]
    return {
        "a session that signed out": _signed_out(portal),
        "an access token that ended": _ended(portal, admin),
        **_disabled(world),
        "an API token that was revoked": _revoked(lead),
        "a refresh token": _pair(portal, "signs_in")["refresh_token"],
        "a password": PASSWORD,
        "the secret of an invitation": done(admin.post("/invitations", json={"role": "admin"}))["secret"],
        "the secret of a new account": done(admin.post("/users", json={"name": "new", "role": "admin"}))["secret"],
        **_of_links(world),
    }


def _pair(portal: Served, name: str) -> Any:
    form = {"grant_type": "password", "username": name, "password": PASSWORD}
    return done(httpx.post(f"{portal.url}/api/v1/auth/token", data=form))


def _signed_out(portal: Served) -> str:
    with portal.client("signs_in") as client:
        client.post("/auth/logout")
        return str(client.headers["authorization"].removeprefix("Bearer "))


def _ended(portal: Served, client: httpx.Client) -> str:
    key = parse_key(portal.environment["PORTAL_SECRET_KEY"])
    assert key is not None
    tokens, now = AccessTokens((key,)), clock.now()
    claims = tokens.read(client.headers["authorization"].removeprefix("Bearer "), now)
    return tokens.issue(claims, now - timedelta(hours=1))


def _disabled(world: World) -> dict[str, str]:
    with world.portal.client("ended") as client:
        made = done(client.post("/tokens", json={"name": "a script", "permissions": sorted(GRANTABLE)}))
        path = f"/users/{made['owner_id']}"
        done(world.clients["adm"].patch(path, json={"disabled": True}, headers=ANY))
        session = client.headers["authorization"].removeprefix("Bearer ")
    return {"a disabled user's session": session, "a disabled user's API token": made["token"]}


def _revoked(client: httpx.Client) -> str:
    made = done(client.post("/tokens", json={"name": "a script", "permissions": sorted(GRANTABLE)}))
    done(client.delete(f"/tokens/{made['id']}"))
    return str(made["token"])


def _of_links(world: World) -> dict[str, str]:
    lead = world.clients["lead"]
    live, dead = (done(lead.post("/links/upload", json={})) for _ in range(2))
    token = world.redeemed(dead["secret"])
    done(lead.delete(f"/links/{dead['id']}"))
    return {"the secret of a link": live["secret"], "the token of a link that was revoked": token}
