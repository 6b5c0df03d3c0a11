"""A fake of an Azure Managed HSM and of Microsoft Entra, which gives the tokens: neither can be run here.

What is Microsoft's: the client, its challenge, its identities. What is ours: what the services do, after their
documentation. HTTPS on two names of this machine, as the client demands that the HSM is below the name that its
challenge names.
"""

import base64
import json
import os
import secrets
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from .own_tls import Authority

HOST, LOGIN = "hsm.localhost", "localhost"
TENANT, CLIENT, SECRET = (
    "0a0b0c0d-0000-4000-8000-000000000001",
    "0a0b0c0d-0000-4000-8000-000000000002",
    "s3cr3t-of-client",
)
ASSERTION = "the.token.of-a-workload"


@dataclass(frozen=True, slots=True)
class Said:
    """An answer of a server."""

    status: int
    content: bytes
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def json(cls, status: int, content: Any, **headers: str) -> "Said":
        return cls(status, json.dumps(content).encode(), {"Content-Type": "application/json", **headers})


Change = Callable[[Said], Said]


class FakeManagedHsm:
    """One HSM with one key. `change` gets each of its answers before it is sent, `change_sign_in` each of Entra's."""

    def __init__(self, folder: Path) -> None:
        authority = Authority(folder)
        self.authorities, self.going = authority.pem, threading.Event()
        trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        trust.load_cert_chain(authority.issue(HOST, LOGIN))
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
        self._server.daemon_threads = True
        self._server.socket = trust.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self._server.server_port
        self.url = f"azure-keyvault:https://{HOST}:{self.port}/keys/k"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        self.behave()

    def behave(self) -> None:
        """Be as the services are, again."""
        self.change: Change = lambda said: said
        self.change_sign_in: Change = lambda said: said
        self.going.set()  # while it is not set, the HSM answers nothing
        self.versions = [(secrets.token_hex(16), AESGCM(os.urandom(32)))]
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.tokens: list[str] = []

    @property
    def variables(self) -> dict[str, str]:
        """The portal's variables for these servers."""
        return {
            "PORTAL_AZURE_AUTH": "client_secret",
            "PORTAL_AZURE_TENANT_ID": TENANT,
            "PORTAL_AZURE_CLIENT_ID": CLIENT,
            "PORTAL_AZURE_CLIENT_SECRET": SECRET,
            "PORTAL_AZURE_AUTHORITY": f"{LOGIN}:{self.port}",
            "PORTAL_AZURE_CA": str(self.authorities),
        }

    def rotate(self) -> None:
        self.versions.append((secrets.token_hex(16), AESGCM(os.urandom(32))))

    def end(self) -> None:
        self.going.set()
        self._server.shutdown()
        self._server.server_close()

    def answer(self, target: str, headers: dict[str, str], body: bytes) -> Said:
        self.asked.append((target, headers))
        path = urlsplit(target).path
        if path == f"/{TENANT}/oauth2/v2.0/token":
            return self.change_sign_in(self._sign_in(parse_qs(body.decode())))
        if not self.going.wait(60) or headers.get("authorization", "").removeprefix("Bearer ") not in self.tokens:
            return self._challenge()
        _, keys, key, version, verb = path.split("/")
        if (keys, key) != ("keys", "k") or verb not in {"encrypt", "decrypt"}:
            return self.change(Said.json(404, {"error": {"code": "KeyNotFound"}}))
        return self.change(self._operation(verb, version, json.loads(body)))

    def _challenge(self) -> Said:
        where = f"https://{LOGIN}:{self.port}"
        challenge = f'Bearer authorization="{where}/{TENANT}", resource="{where}"'
        return Said.json(401, {"error": {"code": "Unauthorized"}}, **{"WWW-Authenticate": challenge})

    def _sign_in(self, form: dict[str, list[str]]) -> Said:
        known = form.get("client_secret") == [SECRET] or form.get("client_assertion") == [ASSERTION]
        if not known or form["client_id"] != [CLIENT] or form["scope"] != [f"https://{LOGIN}:{self.port}/.default"]:
            return Said.json(401, {"error": "invalid_client", "error_description": "AADSTS7000215"})
        self.tokens.append(secrets.token_urlsafe(32))
        return Said.json(200, {"token_type": "Bearer", "expires_in": 3600, "access_token": self.tokens[-1]})

    def _operation(self, verb: str, version: str, fields: dict[str, str]) -> Said:
        name, key = next((pair for pair in self.versions if pair[0] == version), self.versions[-1])
        if version and name != version:
            return Said.json(404, {"error": {"code": "KeyNotFound"}})
        aad, value = decoded(fields["aad"]), decoded(fields["value"])
        kid = {"kid": f"https://{HOST}:{self.port}/keys/k/{name}"}
        if fields["alg"] != "A256GCM":
            return Said.json(400, {"error": {"code": "BadParameter"}})
        if verb == "encrypt":
            nonce = os.urandom(12)
            sealed = key.encrypt(nonce, value, aad)
            parts = {"value": encoded(sealed[:-16]), "iv": encoded(nonce), "tag": encoded(sealed[-16:])}
            return Said.json(200, {**kid, **parts, "aad": fields["aad"]})
        try:
            plaintext = key.decrypt(decoded(fields["iv"]), value + decoded(fields["tag"]), aad)
        except InvalidTag:
            return Said.json(400, {"error": {"code": "BadParameter"}})
        return Said.json(200, {**kid, "value": encoded(plaintext)})


def _handler_of(fake: FakeManagedHsm) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # an answer is one packet

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            headers = {name.lower(): value for name, value in self.headers.items()}
            said = fake.answer(self.path, headers, body)
            self.send_response(said.status)
            for name, value in said.headers.items():
                self.send_header(name, value)
            if "Transfer-Encoding" not in said.headers:
                self.send_header("Content-Length", str(len(said.content)))
            self.end_headers()
            self.wfile.write(said.content)

        def log_message(self, *_: Any) -> None:
            """Nothing: pytest shows what matters."""

    return Handler


def encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def resolving(getaddrinfo: Callable[..., Any]) -> Callable[..., Any]:
    """`socket.getaddrinfo` that finds the HSM on this machine: not every machine resolves names below localhost."""

    def find(host: Any, *args: Any, **kwargs: Any) -> Any:
        return getaddrinfo("127.0.0.1" if host in {HOST, HOST.encode()} else host, *args, **kwargs)

    return find
