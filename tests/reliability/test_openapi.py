"""The whole OpenAPI under Schemathesis: what the document says of a request and its answers is what a portal does.

Comes in: `/openapi.json` of a portal in its own process. Schemathesis makes requests from it, valid and not, alone and
in chains, and holds every answer against it: the status, the headers, the type, the schema, what was to be refused and
what was not. The portal's own log says how many requests came. `schemathesis.toml` has what is
widened, `schemathesis_hooks.py` what is left out, and why.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from ..e2e.conftest import PASSWORD, MakePortal, Served
from .amounts import RELEASE, amount
from .conftest import Figures

CONFIG = Path(__file__).with_name("schemathesis.toml")
HOOKS = Path(__file__).with_name("schemathesis_hooks.py")
SIGN_IN = f"""
[auth.dynamic.openapi.password]
path = "/api/v1/auth/token"
payload = {{ grant_type = "password", username = "WHO", password = "{PASSWORD}" }}
payload_content_type = "application/x-www-form-urlencoded"
extract_selector = "/access_token"
"""
NOBODY = "nobody"
CALLERS = {  # (phases, about how many requests one run makes for every example asked for)
    NOBODY: ("fuzzing", 60),  # who may do nothing has no chain to follow
    "analyst": ("examples,coverage,fuzzing,stateful", 80),
    "auditor": ("fuzzing,stateful", 80),
    "admin": ("fuzzing,stateful", 80),
}
OPEN = {"healthz", "readyz", "read_signing_keys"}
# For whoever has a link's secret: who makes one may come upon it.
LINKED = {
    "redeem_link",
    "read_shared",
    "download_shared_file",
    "head_shared_file",
    "upload_shared_file",
    "upload_shared_raw",
}
CLOSED = {"register", "set_password", *LINKED}  # nobody can register here, and nobody has a secret
# Whoever is signed in would guess their own password here, and be told to wait for as long as guessers are.
GUESSED_AT = {"confirm_password", "update_password", "create_totp", "confirm_totp", "delete_totp"}
ENDED_BY = {"reset_password", "update_user"}  # an administrator comes upon itself, and could not sign in any more
ADMINISTRATION = {
    *("create_user", "list_users", "read_user", "update_user", "reset_password", "reset_totp", "logout_user"),
    *("create_invitation", "list_invitations", "revoke_invitation", "create_break_glass"),
    *("revoke_all_of_user", "transfer_inbox"),
    *("list_jobs", "read_job", "cancel_job", "retry_job"),
    *("read_keys", "rewrap_keys", "reseal_keys", "reencrypt_files", "rotate_keys", "verify_keys"),
    *("shred_case", "read_shredding", "read_receipt", "list_approvals", "approve_request", "refuse_request"),
}
OVERSIGHT = {"list_break_glass"}  # an administrator's and an auditor's
CHANGES = {"upload_file", "upload_raw", "update_file", "delete_file", "move_file", "create_grant", "revoke_grant"}
CHANGES |= {"create_download_link", "create_upload_link", "revoke_link"}
CHANGES |= {"create_case", "update_case", "delete_case", "create_member", "update_member", "delete_member"}
# No chain that it makes leads there.
UNLIKELY = {
    *("update_member", "delete_member", "move_file", "create_grant", "revoke_grant", "revoke_api_token"),
    *("create_download_link", "create_upload_link", "revoke_link"),
}
UNLIKELY |= set() if RELEASE else {"delete_case"}  # a second round, which costs as much as the first, finds it
_MAX_ROUNDS = 1000
_MOST_MORE = 4  # rounds until everything has succeeded once, where the requests are enough before
_PATIENCE_SECONDS = 3600


@pytest.mark.parametrize("who", CALLERS)
def test_every_answer_is_one_that_the_document_tells_of(
    make_portal: MakePortal, figures: Figures, tmp_path: Path, who: str
) -> None:
    portal = make_portal(MAX_UPLOAD_BYTES=str(4 << 20))
    portal.prepare(bob="analyst", **{name: name for name in CALLERS if name != NOBODY})  # he is in the examples
    portal.start()
    known = operations(portal).keys()
    ordinary = known - CLOSED - GUESSED_AT - ADMINISTRATION - OVERSIGHT
    an_auditor = ordinary - CHANGES | OVERSIGHT
    may = {NOBODY: OPEN, "admin": known - CLOSED - left_out(who), "auditor": an_auditor}.get(who, ordinary)
    must = may - UNLIKELY if who in {NOBODY, "analyst"} else set()  # else all that was judged were refusals
    answered: list[tuple[str, str, int]] = []
    wanted = -(-amount("FUZZED_REQUESTS") // len(CALLERS))
    for seed in range(1, _MAX_ROUNDS):
        fuzz(portal, who, seed, examples=(11 if must - OPEN else 1) + wanted // CALLERS[who][1], folder=tmp_path)
        answered = answers(portal)
        print(f"{who}: {len(answered)} of {wanted} requests, seed {seed}", flush=True)
        if len(answered) >= wanted and (successes(portal, answered) >= must or seed >= _MOST_MORE):
            break
    assert len(answered) >= wanted
    assert [answer for answer in answered if answer[2] >= 500] == []
    assert "request_failed" not in portal.log
    assert "Traceback" not in portal.log
    succeeded = successes(portal, answered)
    assert succeeded <= (may | LINKED if who in {"analyst", "admin"} else may)
    assert succeeded >= must
    figures(caller=who, requests=len(answered), rounds=seed, answers_of_2xx=sum(code < 300 for *_, code in answered))


def fuzz(portal: Served, who: str, seed: int, *, examples: int, folder: Path) -> None:
    """One run of Schemathesis. Fails with what it found, and how to see it again."""
    config = folder / "schemathesis.toml"
    config.write_text(CONFIG.read_text() + ("" if who == NOBODY else SIGN_IN.replace("WHO", who)))
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(config)]
    command += ["run", f"{portal.url}/openapi.json", "--no-color", "--continue-on-failure"]
    phases = CALLERS[who][0]
    if seed > 1 or not RELEASE:  # coverage makes the same each time, and four fifths of all requests
        phases = phases.replace("coverage,", "")
    command += ["--phases", phases, "--seed", str(seed), "--max-examples", str(examples)]
    for operation in sorted(left_out(who)):
        command += ["--exclude-operation-id", operation]
    done = subprocess.run(
        command,
        cwd=folder,
        env=_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=_PATIENCE_SECONDS,
    )
    if done.returncode != 0:
        pytest.fail(f"as {who}, seed {seed}:\n{done.stdout}\n{done.stderr}\n{portal.log[-2000:]}")


def left_out(who: str) -> set[str]:
    return {NOBODY: set[str](), "admin": GUESSED_AT | ENDED_BY}.get(who, GUESSED_AT)


def answers(portal: Served) -> list[tuple[str, str, int]]:
    """Method, path and status of everything it was asked since the document was read, the document apart."""
    lines = [json.loads(line) for line in portal.log.splitlines() if line.startswith("{")]
    found = [(line["method"], line["path"], line["status"]) for line in lines if line["event"] == "request"]
    first = next(place for place, (_, path, _) in enumerate(found) if path == "/openapi.json")
    return [answer for answer in found[first:] if answer[1] != "/openapi.json"]


def operations(portal: Served) -> dict[str, tuple[str, re.Pattern[str]]]:
    """Method and path of every documented operation, by its id."""
    document: dict[str, Any] = httpx.get(f"{portal.url}/openapi.json").json()
    return {
        said["operationId"]: (method.upper(), re.compile(_any_value(path), re.DOTALL))
        for path, verbs in document["paths"].items()
        for method, said in verbs.items()
    }


def successes(portal: Served, answered: list[tuple[str, str, int]]) -> set[str]:
    """The operations that did at least once what they are for."""
    done = {(method, path) for method, path, status in answered if status < 300}
    known = operations(portal).items()
    return {name for name, (verb, at) in known for method, path in done if method == verb and at.fullmatch(path)}


def _any_value(path: str) -> str:
    return re.sub(r"\{\w+_id\}", "(?!me$)[^/]+", path.replace("{filename}", ".+"))


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PORTAL_", "SCHEMATHESIS_"))}
    return kept | {"SCHEMATHESIS_HOOKS": str(HOOKS)}
