"""nginx with its WebDAV module, unencrypted, with its own defaults wherever nothing has to be said.

It needs no root: all its paths are in its own folder, so that an upload becomes a file by a rename.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.peers.base import Peer, Server, free_port, output, spawned

_PLACES = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
_CONFIGURATION = """{user}
daemon off;
worker_processes 2;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 256; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 100000;
    client_max_body_size 0;
    default_type application/octet-stream;
    {temporary}
    server {{
        listen 127.0.0.1:{port};
        root {folder}/data;
        location / {{
            dav_methods PUT DELETE;
            create_full_put_path on;
        }}
    }}
}}
"""


@contextmanager
def serve(folder: Path, _: int) -> Iterator[Server]:
    port, data = free_port(), folder / "data"
    data.mkdir()
    configuration = folder / "nginx.conf"
    configuration.write_text(
        _CONFIGURATION.format(
            user="user root;" if os.geteuid() == 0 else "",  # its workers would be somebody who may not write here
            folder=folder,
            port=port,
            temporary=" ".join(f"{name}_temp_path {folder}/temp_{name};" for name in _TEMPORARY),
        )
    )
    program = _program() or "nginx"
    with spawned([program, "-p", str(folder), "-c", str(configuration), "-e", "stderr"], folder, port) as pid:
        yield Server("nginx", pid, port, data)


def _program() -> str | None:
    return shutil.which("nginx", path=_PLACES)


def _missing() -> str | None:
    return None if _program() else "no nginx: install nginx-light"


def _version() -> str:
    return output(_program() or "nginx", "-v").rpartition("/")[2].strip()


PEER = Peer(
    "nginx",
    "does not encrypt, hash or fsync; keeps no row, asks nobody's leave, has no record",
    missing=_missing,
    version=_version,
    serve=serve,
)
