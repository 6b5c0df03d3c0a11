"""A fake of Google Cloud KMS: there is no server of it to run here.

What is Google's: the messages (its published protobuf classes), gRPC, TLS, the client. What is ours: what the service
does with a message, after its documentation. It believes only tokens that its service account signed itself.
"""

import functools
import json
import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn

import grpc
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from google.cloud.kms_v1 import DecryptRequest, DecryptResponse, EncryptRequest, EncryptResponse
from google_crc32c import value as crc32c
from jose import JWTError, jwt

from .own_tls import Authority

_KEY = "projects/p/locations/l/keyRings/r/cryptoKeys/k"
_SERVICE = "google.cloud.kms.v1.KeyManagementService"
_SCOPE = "https://www.googleapis.com/auth/cloudkms"
Change = Callable[[Any], Any]


def unchanged(answer: Any) -> Any:
    return answer


class FakeGcpKms:
    """One server with one key. `change` gets each answer before it is sent; `fault` is what it says instead."""

    def __init__(self, folder: Path) -> None:
        authority = Authority(folder)
        self.authorities, self.account = authority.pem, service_account()
        self.url = f"gcp-kms:{_KEY}"
        self.going = threading.Event()  # while it is not set, no call is answered
        self._executor = ThreadPoolExecutor(4)
        self._server = grpc.server(self._executor)
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, self._handlers()),))
        pem = authority.issue("localhost").read_bytes()
        trust = grpc.ssl_server_credentials([(pem, pem)])
        self.endpoint = f"localhost:{self._server.add_secure_port('127.0.0.1:0', trust)}"
        self._server.start()
        self.behave()

    def behave(self) -> None:
        """Be as the service is, again."""
        self.change: Change = unchanged
        self.fault: grpc.StatusCode | None = None
        self.going.set()
        self.versions = {1: AESGCM(os.urandom(32))}
        self.calls: Counter[str] = Counter()
        self.tokens: list[str] = []
        self.peers: list[str] = []

    @property
    def variables(self) -> dict[str, str]:
        """The portal's variables for this server."""
        return {
            "PORTAL_GCP_CREDENTIALS": self.account,
            "PORTAL_GCP_KMS_ENDPOINT": self.endpoint,
            "PORTAL_GCP_KMS_CA": str(self.authorities),
        }

    def token(self) -> str:
        """A token as Google gives one: whose signature it is does not matter here."""
        claims = {"iss": json.loads(self.account)["client_email"], "scope": _SCOPE, "exp": int(time.time()) + 3600}
        return str(jwt.encode(claims, _keys()[0], algorithm="RS256"))

    def rotate(self) -> None:
        self.versions[max(self.versions) + 1] = AESGCM(os.urandom(32))

    def end(self) -> None:
        self.going.set()
        self._server.stop(0).wait()
        self._executor.shutdown()

    def _handlers(self) -> dict[str, Any]:
        encrypt, decrypt = self._answering("Encrypt", self._encrypt), self._answering("Decrypt", self._decrypt)
        handler = functools.partial(grpc.unary_unary_rpc_method_handler, response_serializer=_serialized)
        return {
            "Encrypt": handler(encrypt, request_deserializer=EncryptRequest.deserialize),
            "Decrypt": handler(decrypt, request_deserializer=DecryptRequest.deserialize),
        }

    def _answering(self, verb: str, does: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        def answer(request: Any, call: Any) -> Any:
            self.calls[verb] += 1
            self.peers.append(call.peer())
            self.going.wait()
            self._authenticate(call)
            if self.fault is not None:
                _refuse(call, self.fault)
            return self.change(does(request, call))

        return answer

    def _authenticate(self, call: Any) -> None:
        token = dict(call.invocation_metadata()).get("authorization", "").removeprefix("Bearer ")
        self.tokens.append(token)
        try:
            claims = jwt.decode(
                token, _keys()[1], algorithms=["RS256"], issuer=json.loads(self.account)["client_email"]
            )
        except JWTError:
            _refuse(call, grpc.StatusCode.UNAUTHENTICATED)
        if claims["scope"] != _SCOPE:
            _refuse(call, grpc.StatusCode.PERMISSION_DENIED)

    def _encrypt(self, request: EncryptRequest, call: Any) -> EncryptResponse:
        context = request.additional_authenticated_data
        if request.name != _KEY:
            _refuse(call, grpc.StatusCode.NOT_FOUND)
        if request.plaintext_crc32c != crc32c(request.plaintext):
            _refuse(call)
        if request.additional_authenticated_data_crc32c != crc32c(context):
            _refuse(call)
        version, nonce = max(self.versions), os.urandom(12)
        ciphertext = (
            version.to_bytes(4, "big") + nonce + self.versions[version].encrypt(nonce, request.plaintext, context)
        )
        return EncryptResponse(
            name=f"{_KEY}/cryptoKeyVersions/{version}",
            ciphertext=ciphertext,
            ciphertext_crc32c=crc32c(ciphertext),
            verified_plaintext_crc32c=True,
            verified_additional_authenticated_data_crc32c=True,
        )

    def _decrypt(self, request: DecryptRequest, call: Any) -> DecryptResponse:
        context, ciphertext = request.additional_authenticated_data, request.ciphertext
        if request.name != _KEY:
            _refuse(call, grpc.StatusCode.NOT_FOUND)
        if request.ciphertext_crc32c != crc32c(ciphertext):
            _refuse(call)
        if request.additional_authenticated_data_crc32c != crc32c(context):
            _refuse(call)
        key = self.versions.get(int.from_bytes(ciphertext[:4], "big"))
        if key is None:
            _refuse(call, grpc.StatusCode.FAILED_PRECONDITION)
        try:
            plaintext = key.decrypt(ciphertext[4:16], ciphertext[16:], context)
        except InvalidTag:
            _refuse(call)
        return DecryptResponse(plaintext=plaintext, plaintext_crc32c=crc32c(plaintext))


def _refuse(call: Any, status: grpc.StatusCode = grpc.StatusCode.INVALID_ARGUMENT) -> NoReturn:
    call.abort(status, "refused")
    raise AssertionError("abort raises")


def _serialized(answer: Any) -> bytes:
    """A test may say anything, also what is no message."""
    return answer if isinstance(answer, bytes) else type(answer).serialize(answer)


@functools.cache
def _keys() -> tuple[str, str]:
    """The private and the public key of the service account."""
    key = rsa.generate_private_key(65537, 2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()


def service_account() -> str:
    """What a service account's key file holds."""
    return json.dumps(
        {
            "type": "service_account",
            "project_id": "p",
            "private_key_id": "one",
            "private_key": _keys()[0],
            "client_email": "portal@p.iam.gserviceaccount.com",
            "token_uri": "https://127.0.0.1:1/token",
        }
    )
