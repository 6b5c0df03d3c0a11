"""A certificate authority of a test's own, and a front that speaks TLS for a real server that does not.

The Postgres that the tests carry is built without TLS: so this answers its SSLRequest, does the handshake and passes
the bytes on. For Redis it is plain TLS.
"""

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from portal.core import clock

_SSL_REQUEST = struct.pack("!ii", 8, 80877103)
Reach = Callable[[], socket.socket]


class Authority:
    """Signs certificates; `pem` is the file that trusts them."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._key = folder, ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "an authority of a test")])
        self.pem = folder / "authority.pem"
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        self._certificate = (
            self._builder(self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.pem.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, *names: str) -> Path:
        """A certificate for these names, with its key, in one file."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            self._builder(x509.Name([]), key.public_key())
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path = self._folder / f"{names[0]}.pem"
        path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
        return path

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        ours = self._key.public_key()
        return (
            x509.CertificateBuilder(issuer_name=self._name, subject_name=subject, public_key=key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(clock.now() - timedelta(days=1))
            .not_valid_after(clock.now() + timedelta(days=1))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ours), critical=False)
        )


@contextmanager
def fronted(reach: Reach, certificate: Path | None, *, postgres: bool = False) -> Iterator[int]:
    """The port of a front for what `reach` connects to; without a certificate it passes on what is not encrypted."""
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_accept, args=(listener, reach, context, postgres), daemon=True).start()
        yield listener.getsockname()[1]


def _accept(listener: socket.socket, reach: Reach, context: ssl.SSLContext | None, postgres: bool) -> None:
    with suppress(OSError):  # the test is over
        while True:
            client, _ = listener.accept()
            threading.Thread(target=_serve, args=(client, reach, context, postgres), daemon=True).start()


def _serve(client: socket.socket, reach: Reach, context: ssl.SSLContext | None, postgres: bool) -> None:
    with suppress(OSError), client, reach() as server:
        if context is None:
            _pass_both_ways(client, server)
            return
        if postgres:
            assert client.recv(len(_SSL_REQUEST), socket.MSG_WAITALL) == _SSL_REQUEST
            client.sendall(b"S")
        with context.wrap_socket(client, server_side=True) as wrapped:
            _pass_both_ways(wrapped, server)


def _pass_both_ways(client: socket.socket, server: socket.socket) -> None:
    back = threading.Thread(target=_pass_on, args=(server, client), daemon=True)
    back.start()
    _pass_on(client, server)
    back.join()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
