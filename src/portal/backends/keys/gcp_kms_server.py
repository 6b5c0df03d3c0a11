"""The calls of Google Cloud KMS: two of them, each answer checked by its checksums.

Comes in: the name of a key, a text, the context to bind it to. Leaves: what the service made of it; or a
KeyProviderError for a service that cannot be reached, refuses, or whose answer was changed on the way. No error holds
what was sent or received. Next: `gcp_kms` wraps and unwraps.

Google's client would try again and set time limits of its own: both are the guard's (`guarded`).
"""

import asyncio
import logging
from typing import Any

import grpc
import grpc.aio
from google.api_core.exceptions import GoogleAPICallError
from google.cloud.kms_v1 import (
    DecryptRequest,
    DecryptResponse,
    EncryptRequest,
    EncryptResponse,
    KeyManagementServiceAsyncClient,
)
from google.cloud.kms_v1.services.key_management_service.transports import KeyManagementServiceGrpcAsyncIOTransport
from google_crc32c import value as crc32c

from portal.backends.keys.base import KeyProviderError
from portal.backends.keys.gcp_kms_settings import GcpKmsSettings
from portal.backends.keys.gcp_tokens import GcpTokens
from portal.core import tasks
from portal.core.tls import verifying_context

_MAX_BYTES = 64 << 10
_OPTIONS = [
    ("grpc.max_receive_message_length", _MAX_BYTES),
    ("grpc.enable_retries", 0),
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_reconnect_backoff_ms", 2_000),  # else minutes after an outage
]
_GRACE_SECONDS = 10.0  # for other calls over a connection that is left: longer than the guard waits for one
_ANSWERS = {  # to this very request: the same request gets the same answer
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.OUT_OF_RANGE,
    grpc.StatusCode.UNIMPLEMENTED,
}
_CONNECTING = {  # what gRPC says of a connection that did not come about
    "CERTIFICATE_VERIFY_FAILED": "its certificate is not trusted",
    "Connection refused": "nothing listens there (connection refused)",
    "DNS resolution failed": "no host of that name is known",
    "handshake": "no TLS connection came about",
}


class GcpKmsServer:
    """Cloud KMS at one endpoint, by TLS. The connection is made at the first call, in the loop that makes it."""

    def __init__(self, settings: GcpKmsSettings) -> None:
        self._endpoint = settings.gcp_kms_endpoint
        self._authorities: bytes | None = None
        if settings.gcp_kms_ca is not None:
            verifying_context("PORTAL_GCP_KMS_CA", settings.gcp_kms_ca)
            self._authorities = settings.gcp_kms_ca.read_bytes()
        self._tokens = GcpTokens(settings.gcp_credentials.get_secret_value())
        self._channel: Any = None  # a grpc.aio.Channel: grpc has no types
        self._client: KeyManagementServiceAsyncClient | None = None
        self._closed = False

    async def encrypt(self, name: str, plaintext: bytes, context: bytes) -> tuple[str, bytes]:
        """The name of the version that encrypted, and the ciphertext."""
        request = EncryptRequest(
            name=name,
            plaintext=plaintext,
            plaintext_crc32c=crc32c(plaintext),
            additional_authenticated_data=context,
            additional_authenticated_data_crc32c=crc32c(context),
        )
        answer: EncryptResponse | None = await self._ask("encrypt", request)
        if answer is None or answer.ciphertext_crc32c != crc32c(answer.ciphertext):
            raise nonsense()
        if not (answer.verified_plaintext_crc32c and answer.verified_additional_authenticated_data_crc32c):
            raise nonsense()
        return answer.name, answer.ciphertext

    async def decrypt(self, name: str, ciphertext: bytes, context: bytes) -> bytes:
        """The plaintext."""
        request = DecryptRequest(
            name=name,
            ciphertext=ciphertext,
            ciphertext_crc32c=crc32c(ciphertext),
            additional_authenticated_data=context,
            additional_authenticated_data_crc32c=crc32c(context),
        )
        answer: DecryptResponse | None = await self._ask("decrypt", request)
        if answer is None or answer.plaintext_crc32c != crc32c(answer.plaintext):
            raise nonsense()
        return answer.plaintext

    async def aclose(self) -> None:
        self._closed = True
        if self._channel is not None:
            await self._channel.close()

    async def _ask(self, verb: str, request: EncryptRequest | DecryptRequest) -> Any:
        """The answer; None where it is none of this service. Raises KeyProviderError."""
        headers = [("authorization", f"Bearer {await self._tokens.current()}")]
        client, channel = self._connected(), self._channel
        try:
            return await getattr(client, verb)(request, retry=None, timeout=None, metadata=headers)
        except GoogleAPICallError as error:
            if error.grpc_status_code is grpc.StatusCode.UNAUTHENTICATED:
                self._tokens.forget()
            raise _translated(error) from None
        except asyncio.CancelledError:
            if not _is_cancelled():  # the channel was closed under the call
                raise _closed() from None
            self._leave(channel)
            raise
        except grpc.aio.UsageError:
            raise _closed() from None

    def _leave(self, channel: Any) -> None:
        """Let the next call connect anew: a connection that died in silence would be kept for long."""
        if self._channel is channel:
            tasks.spawn(channel.close(_GRACE_SECONDS))
            self._channel = self._client = None

    def _connected(self) -> KeyManagementServiceAsyncClient:
        if self._closed:
            raise _closed()
        if self._client is None:
            trust = grpc.ssl_channel_credentials(self._authorities)
            self._channel = grpc.aio.secure_channel(self._endpoint, trust, options=_OPTIONS)
            transport = KeyManagementServiceGrpcAsyncIOTransport(channel=self._channel)
            # At DEBUG it logs requests and answers, with data keys and tokens.
            logging.getLogger(type(transport).__module__).setLevel(logging.WARNING)
            self._client = KeyManagementServiceAsyncClient(transport=transport)
        return self._client


def nonsense() -> KeyProviderError:
    """The error for an answer that was changed on the way, or is none of Cloud KMS."""
    return KeyProviderError(reason="the answer is not one of Cloud KMS, or was changed on the way", transient=True)


def _translated(error: GoogleAPICallError) -> KeyProviderError:
    status = error.grpc_status_code
    said = next((words for found, words in _CONNECTING.items() if found in str(error.message)), None)
    if status is grpc.StatusCode.UNAVAILABLE and said is not None:
        return KeyProviderError(reason=said, transient=True)
    name = "nothing that is known" if status is None else status.name
    return KeyProviderError(reason=f"the server answered {name}", transient=status not in _ANSWERS)


def _closed() -> KeyProviderError:
    return KeyProviderError(reason="the connection is closed", transient=True)


def _is_cancelled() -> bool:
    """Whether this task was cancelled, rather than the call alone."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0
