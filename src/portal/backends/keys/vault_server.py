"""The HTTP of a Vault or OpenBao server: one request, one answer that is parsed strictly.

Comes in: a path below `/v1/`, a JSON body, a token. Leaves: an `Answer`; or a KeyProviderError for a server that cannot
be reached or answers with anything but a short JSON object: a redirect, a proxy's page, a large body. No error holds
what was sent or received. Next: `vault_tokens` and `vault` ask.
"""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpx

from portal.backends.keys.answers import json_object, why_unreachable
from portal.backends.keys.base import KeyProviderError
from portal.backends.keys.vault_settings import VaultAddress, VaultSettings
from portal.core.secrets import Secret
from portal.core.tls import verifying_context

_MAX_BYTES = 16 << 10
_OK, _DENIED = 200, 403
_ANSWERS = {400, 404, 405}  # to this very request: the same request gets the same answer


@dataclass(frozen=True, slots=True)
class Answer:
    """The status of an answer; of a 200 also its JSON object."""

    status: int
    content: Mapping[str, Any] = field(repr=False)

    @property
    def denied(self) -> bool:
        return self.status == _DENIED

    def member(self, name: str) -> Mapping[str, Any]:
        """The object under a name. Raises KeyProviderError for any other status than 200, and where there is none."""
        if self.status != _OK:
            text, transient = f"the server answered {self.status}", self.status not in _ANSWERS
            raise KeyProviderError(reason=text, transient=transient, denied=self.denied)
        found = self.content.get(name)
        if not isinstance(found, dict):
            raise nonsense()
        return found


class VaultServer:
    """One server, by TLS; on this machine without it, unless PORTAL_VAULT_CA is set."""

    def __init__(self, address: VaultAddress, settings: VaultSettings) -> None:
        tls = not address.is_loopback or settings.vault_ca is not None
        headers = {"X-Vault-Request": "true", "Accept-Encoding": "identity"}
        self._client = httpx.AsyncClient(
            base_url=address.base_url(tls=tls),
            headers=headers | ({"X-Vault-Namespace": address.namespace} if address.namespace else {}),
            verify=verifying_context("PORTAL_VAULT_CA", settings.vault_ca) if tls else _trusting_nobody(),
            trust_env=False,  # no proxy, no .netrc
            follow_redirects=False,
            timeout=None,  # noqa: S113  # the guard has it
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),  # what an answer sets is not kept
        )

    async def ask(self, path: str, body: Mapping[str, str], token: Secret | None = None) -> Answer:
        """Send one request. Raises KeyProviderError, a transient one."""
        headers = {} if token is None else {"X-Vault-Token": token.reveal().decode("ascii")}
        try:
            async with self._client.stream("POST", path, json=dict(body), headers=headers) as response:
                content = await _content_of(response)
        except (httpx.HTTPError, OSError) as error:  # OSError: TLS that breaks after the handshake
            raise KeyProviderError(reason=why_unreachable(error), transient=True) from None
        return Answer(response.status_code, _parsed(response, content) if response.status_code == _OK else {})

    async def aclose(self) -> None:
        await self._client.aclose()


def _trusting_nobody() -> ssl.SSLContext:
    """For a client that makes no TLS connection: to read all authorities of the system takes longer than a call."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def nonsense() -> KeyProviderError:
    """The error for an answer that no Vault gives: something else may stand in its place for a while."""
    return KeyProviderError(reason="the answer is not one of a Vault or OpenBao server", transient=True)


async def _content_of(response: httpx.Response) -> bytes:
    """The body as it is sent, so that nothing is unpacked. Raises KeyProviderError where it is too long."""
    content = bytearray()
    async for chunk in response.aiter_raw():
        content += chunk
        if len(content) > _MAX_BYTES:
            raise nonsense()
    return bytes(content)


def _parsed(response: httpx.Response, content: bytes) -> Mapping[str, Any]:
    if response.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise nonsense()
    found = json_object(content)
    if found is None:
        raise nonsense()
    return found
