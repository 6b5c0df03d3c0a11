"""How often a data key is used at its provider, counted in OpenBao's audit log: once for each worker in five minutes.

Comes in: a portal whose master key is in OpenBao. Leaves: the calls for each data key, however many requests needed it.
"""

import base64
import json
import secrets
from collections import Counter
from hashlib import sha256
from uuid import UUID

from portal.crypto.wrap import data_key_context

from ..e2e.conftest import MakePortal, Served
from ..e2e.seen import rows
from ..own_openbao import KEY, MOUNT, OwnOpenBao
from .amounts import amount
from .conftest import Figures

CASES = 3
SIZE = 2_000
KID = sha256(f"vault-transit:{MOUNT}/{KEY}".encode()).digest()[:8]


def unwraps(portal: Served, openbao: OwnOpenBao, since: int) -> Counter[str]:
    """The calls that unwrap each data key, from this line of the audit log on. Those that check the server are others.

    The log hides what a data key is bound to behind an HMAC, which the server makes for its administrator.
    """
    contexts = {}
    for data_key_id, scope in rows(portal, "SELECT id, scope FROM data_keys"):
        context = base64.b64encode(data_key_context(KID, UUID(data_key_id), scope)).decode()
        told = openbao.ask("POST", "sys/audit-hash/calls", input=context)
        contexts[told["data"]["hash"]] = data_key_id
    lines = (openbao.folder / "audit.jsonl").read_text().splitlines()[since:]
    requests = [line["request"] for line in map(json.loads, lines) if line["type"] == "response"]
    asked = [each["data"]["context"] for each in requests if each["path"] == f"{MOUNT}/decrypt/{KEY}"]
    return Counter(contexts[context] for context in asked if context in contexts)


def log_length(openbao: OwnOpenBao) -> int:
    return len((openbao.folder / "audit.jsonl").read_text().splitlines())


def test_a_worker_asks_once_for_each_data_key(make_portal: MakePortal, openbao: OwnOpenBao, figures: Figures) -> None:
    portal = make_portal(KEY_URLS=openbao.url, VAULT_TOKEN=openbao.token())
    portal.prepare(analyst="analyst")
    portal.start()
    many, content = amount("KEY_USES"), secrets.token_bytes(SIZE)
    with portal.client("analyst") as analyst:
        cases = [analyst.post("/cases", json={"title": "a case"}).json()["id"] for _ in range(CASES)]
        first = [analyst.put("/upload/a.bin", params={"case_id": case}, content=content).json()["id"] for case in cases]
    portal.stop()
    since = log_length(openbao)
    portal.start()
    with portal.client("analyst") as analyst:
        for number in range(many):
            if number % 2:
                assert analyst.get(f"/files/{first[number % CASES]}/content").content == content
            else:
                case = cases[number % CASES]
                assert analyst.put("/upload/b.bin", params={"case_id": case}, content=content).status_code == 201
    uses = unwraps(portal, openbao, since)
    figures(requests=many, data_keys=len(uses), calls=sum(uses.values()), most_of_one_key=max(uses.values()))
    assert sorted(uses.values()) == [1] * CASES
