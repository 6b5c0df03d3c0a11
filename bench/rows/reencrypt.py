"""One file that gets a new key and a new blob, beside the upload of the same file: what a copy costs, with its proof.

The job is timed as its row tells, from the claim to the end: the bytes are read, opened, hashed, sealed, written, made
durable, and read back. A command does it, in a process of its own beside the idle server.
"""

import json
from datetime import datetime
from functools import partial

from bench import transfer
from bench.failure import Failed
from bench.peers import portal
from bench.peers.portal import API, Portal
from bench.plan import MIB, UPLOAD
from bench.rows.base import Operation, Setting
from bench.sources import Source, prefault


def prepare(setting: Setting) -> dict[str, Operation]:
    source, server = setting.source("large"), setting.serve("portal")
    if not isinstance(server, Portal):
        raise Failed("only the portal has keys")
    return {"portal": partial(_reencrypt, server, source), UPLOAD: partial(_upload, server, source)}


def _reencrypt(server: Portal, source: Source) -> tuple[float]:
    prefault(source.path)
    _, stored = transfer.put(server, source)
    file_id = stored.entry.removeprefix(f"{API}/files/")
    asked = ("keys", "reencrypt", "--file", file_id, "--json")
    ended = json.loads(portal.command_in(server.home, *asked))
    job = json.loads(portal.command_in(server.home, "jobs", "show", ended["job_id"], "--json"))
    if (job["status"], ended["bytes"]) != ("done", source.size):
        raise Failed(f"the file was not reencrypted: {ended['error']}")
    transfer.remove(server, stored)
    portal.command_in(server.home, "sweep")
    began, over = (datetime.fromisoformat(job[name]) for name in ("started_at", "finished_at"))
    return (source.size / MIB / (over - began).total_seconds(),)


def _upload(server: Portal, source: Source) -> tuple[float]:
    prefault(source.path)
    seconds, stored = transfer.put(server, source)
    transfer.remove(server, stored)
    return (source.size / MIB / seconds,)
