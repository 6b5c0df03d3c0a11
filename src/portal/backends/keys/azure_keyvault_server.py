"""The HTTP of an Azure Managed HSM: one request, one answer that is parsed strictly.

Comes in: the version of a key, what it is to do, and the fields of the request. Leaves: the JSON object of the answer;
or a KeyProviderError for a service that cannot be reached, refuses, or answers with anything but a short JSON object.
No error holds what was sent or received. Next: `azure_keyvault` wraps and unwraps.

Microsoft's client answers the challenge of the service, and its identities fetch the tokens. Its `CryptographyClient`
is not used: it reads the key, keeps the version that it read, may compute by itself where a key can be exported, and
does not tell which version the service used. Retries and time limits of the client are off: both are the guard's.
"""

import logging
import ssl
from collections.abc import Mapping
from typing import Any, Final

import aiohttp
from azure.core.credentials_async import AsyncTokenCredential
from azure.core.exceptions import ClientAuthenticationError
from azure.core.pipeline.transport import AioHttpTransport
from azure.core.rest import AsyncHttpResponse, HttpRequest
from azure.identity.aio import ClientSecretCredential, ManagedIdentityCredential, WorkloadIdentityCredential
from azure.keyvault.keys.aio import KeyClient

from portal.backends.keys.azure_keyvault_settings import AzureSettings, HsmKeyAddress
from portal.backends.keys.base import KeyProviderError
from portal.core.tls import verifying_context
from portal.db.reasons import reason

_MAX_BYTES = 64 << 10
_OK, _REFUSED = 200, 401
_ANSWERS = {400, 404, 405}  # to this very request: the same request gets the same answer
logging.getLogger("azure.identity").setLevel(logging.ERROR)  # its warnings repeat what a server said
_OPTIONS: Final[dict[str, Any]] = {"retry_total": 0, "permit_redirects": False}


class AzureServer:
    """One HSM, by TLS. The connections are made at the first call, in the loop that makes it."""

    def __init__(self, address: HsmKeyAddress, settings: AzureSettings) -> None:
        self._address, self._settings = address, settings
        self._trust = verifying_context("PORTAL_AZURE_CA", settings.azure_ca)
        self._client: _HsmClient | None = None
        self._closed = False

    async def ask(self, version: str, verb: str, fields: Mapping[str, str]) -> Mapping[str, Any]:
        """The answer to one request. Raises KeyProviderError."""
        path = f"/keys/{self._address.key}/{version}/{verb}"
        request = HttpRequest("POST", path, json={"alg": "A256GCM", **fields})
        client = self._opened()
        try:
            response: AsyncHttpResponse = await client.keys.send_request(request)
            content = response.json() if response.status_code == _OK else None
        except ClientAuthenticationError:
            raise KeyProviderError(reason="the sign-in gives no token", transient=True) from None
        except Exception as error:  # noqa: BLE001  # libraries', for whatever a server says; their text may hold it
            raise _translated(error, closed=self._closed) from None
        status = response.status_code
        if status == _REFUSED:
            client.forget()
        if status != _OK:
            raise KeyProviderError(reason=f"the server answered {status}", transient=status not in _ANSWERS)
        if not isinstance(content, dict):
            raise nonsense()
        return content

    async def aclose(self) -> None:
        self._closed = True
        if self._client is not None:
            await self._client.aclose()

    def _opened(self) -> "_HsmClient":
        if self._closed:
            raise _stopping()
        if self._client is None:
            self._client = _HsmClient(self._address, self._settings, self._trust)
        return self._client


class _ShortResponse(aiohttp.ClientResponse):
    """An answer that is short and not packed: that of the HSM, and that of whoever gives the tokens."""

    async def read(self) -> bytes:
        content = bytearray()
        if "Content-Encoding" in self.headers:
            self.close()
            raise aiohttp.ClientPayloadError
        async for chunk in self.content.iter_any():
            content += chunk
            if len(content) > _MAX_BYTES:
                self.close()
                raise aiohttp.ClientPayloadError
        return bytes(content)


class _HsmClient:
    """The client of one HSM and the identity that it signs in with, over one session."""

    def __init__(self, address: HsmKeyAddress, settings: AzureSettings, trust: ssl.SSLContext) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=trust),
            response_class=_ShortResponse,
            headers={"Accept-Encoding": "identity"},
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,  # no proxy, no .netrc
            auto_decompress=False,
        )
        self._hsm_url, self._settings = address.hsm_url, settings
        self._options = {**_OPTIONS, "transport": AioHttpTransport(session=self._session, session_owner=False)}
        self._keys: KeyClient | None = None

    @property
    def keys(self) -> KeyClient:
        if self._keys is None:
            self._keys = KeyClient(self._hsm_url, _identity(self._settings, self._options), **self._options)
        return self._keys

    def forget(self) -> None:
        """Begin with another identity: the one that is there would give the token again that was refused."""
        self._keys = None

    async def aclose(self) -> None:
        await self._session.close()  # client and identity have no other connections


def _identity(settings: AzureSettings, options: Mapping[str, Any]) -> AsyncTokenCredential:
    tenant, client = settings.azure_tenant_id, settings.azure_client_id
    if settings.azure_auth == "managed_identity":
        return ManagedIdentityCredential(client_id=client or None, **options)
    options = {**options, "authority": f"https://{settings.azure_authority}"}
    if settings.azure_auth == "client_secret":
        return ClientSecretCredential(tenant, client, settings.azure_client_secret.get_secret_value(), **options)
    path = str(settings.azure_token_path)
    return WorkloadIdentityCredential(tenant_id=tenant, client_id=client, token_file_path=path, **options)


def nonsense() -> KeyProviderError:
    """The error for an answer that no Managed HSM gives: something else may stand in its place for a while."""
    return KeyProviderError(reason="the answer is not one of a Managed HSM", transient=True)


def _translated(error: Exception, *, closed: bool) -> KeyProviderError:
    if closed:
        return _stopping()
    root: BaseException = error
    while below := root.__cause__ or root.__context__:
        root = below
    return KeyProviderError(reason=reason(root), transient=True) if isinstance(root, OSError) else nonsense()


def _stopping() -> KeyProviderError:
    return KeyProviderError(reason="the portal is stopping")
