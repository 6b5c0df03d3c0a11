"""The HTTP of AWS KMS: one signed request, one answer that is parsed strictly.

Comes in: an operation, and its parameters. Leaves: the JSON object of the answer; or a KeyProviderError for a server
that cannot be reached, refuses, or answers with anything but a short JSON object. No error holds what was sent or
received. Next: `aws_kms` asks.

The SDK finds credentials and signs; the request is sent without its client, which reads answers of any length, follows
redirects and proxies, retries beside the guard, and logs data keys at debug level.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

import aiohttp
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

from portal.backends.keys.answers import json_object, why_unreachable
from portal.backends.keys.aws_credentials import AwsCredentials
from portal.backends.keys.aws_settings import AwsSettings, KmsKey
from portal.backends.keys.base import KeyProviderError
from portal.core.tls import verifying_context

_MAX_BYTES = 16 << 10
_OK, _DENIED, _CLIENT_ERRORS = 200, {401, 403}, range(400, 500)
_TYPE = "application/x-amz-json-1.1"
_CODE = re.compile(r"(?:[\w.]{1,64}#)?([A-Za-z]{1,64})(?::.*)?", re.ASCII)
_OF_THIS_WRAP = {"InvalidCiphertextException", "IncorrectKeyException", "ValidationException"}
_TOO_MANY = {"ThrottlingException", "Throttling", "LimitExceededException", "RequestLimitExceeded", "SlowDown"}

WRONG_KEY = "it is no symmetric encryption key"


class KmsServer:
    """AWS KMS in one region, by TLS; on this machine without it, if the endpoint says so."""

    def __init__(self, key: KmsKey, settings: AwsSettings) -> None:
        self._url, self._region = key.endpoint(settings), key.region
        tls = self._url.startswith("https:")
        self._tls = verifying_context("PORTAL_AWS_CA", settings.aws_ca) if tls else True
        self._credentials = AwsCredentials(settings)
        self._client: aiohttp.ClientSession | None = None

    async def ask(self, operation: str, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        """Send one request. Raises KeyProviderError."""
        body = json.dumps(parameters).encode()
        headers = self._signed(operation, body, await self._credentials.current())
        try:
            async with self._session().post(self._url, data=body, headers=headers, allow_redirects=False) as response:
                content = await _content_of(response)
        except (aiohttp.ClientError, OSError) as error:
            raise KeyProviderError(reason=why_unreachable(error), transient=True) from None
        found = json_object(content)
        if response.status != _OK:
            raise _refusal(response.status, _code_in(found))
        if found is None:
            raise nonsense()
        return found

    async def aclose(self) -> None:
        if self._client is not None:
            await self._client.close()

    def _signed(self, operation: str, body: bytes, credentials: Any) -> dict[str, str]:
        """The headers of a request, with its signature (SigV4)."""
        headers = {"Content-Type": _TYPE, "X-Amz-Target": f"TrentService.{operation}"}
        request = AWSRequest("POST", self._url, headers=headers, data=body)
        SigV4Auth(credentials, "kms", self._region).add_auth(request)
        return dict(request.headers.items())

    def _session(self) -> aiohttp.ClientSession:
        if self._client is None:  # not before: it wants a loop that runs
            self._client = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=self._tls),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": "portal", "Accept-Encoding": "identity"},
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),  # the guard has it
                auto_decompress=False,
                trust_env=False,  # no proxy, no .netrc
            )
        return self._client


def nonsense() -> KeyProviderError:
    """The error for an answer that AWS KMS does not give: something else may stand in its place for a while."""
    return KeyProviderError(reason="the answer is not one of AWS KMS", transient=True)


async def _content_of(response: aiohttp.ClientResponse) -> bytes:
    """The body as it is sent. Raises KeyProviderError where it is too long."""
    content = bytearray()
    async for chunk in response.content.iter_any():
        content += chunk
        if len(content) > _MAX_BYTES:
            raise nonsense()
    return bytes(content)


def _code_in(answer: Mapping[str, Any] | None) -> str | None:
    """The code of a refusal, which stands behind the name of its service or alone; None where there is none."""
    told = None if answer is None else answer.get("__type")
    found = _CODE.fullmatch(told) if isinstance(told, str) else None
    return None if found is None else found[1]


def _refusal(status: int, code: str | None) -> KeyProviderError:
    """The error for an answer with another status than 200.

    What is wrong with this wrap says nothing of the provider. What is wrong with the credentials, their rights or the
    state of the key is so for every call, until an operator mends it.
    """
    reason = f"the server answered {status}{f' {code}' if code else ''}"
    if code == "InvalidKeyUsageException":
        reason = WRONG_KEY
    if code in _OF_THIS_WRAP:
        return KeyProviderError(reason=reason)
    denied = status in _DENIED or (code is not None and code not in _TOO_MANY and status in _CLIENT_ERRORS)
    return KeyProviderError(reason=reason, transient=True, denied=denied)
