"""`azure-keyvault:` with Microsoft's client against a fake of the services, which say wrong things, nothing, too much.

That it is a key provider at all is in `test_key_provider.py`.
"""

import asyncio
import json
import logging
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from portal.backends.keys import registry
from portal.backends.keys.azure_keyvault import AzureKeyVault
from portal.backends.keys.azure_keyvault_settings import AzureSettings, HsmKeyAddress
from portal.backends.keys.base import HEAD_BYTES
from portal.backends.keys.registry import open_key_providers
from portal.core.errors import ConfigError
from portal.db.reasons import reason

from ..fake_managed_hsm import ASSERTION, HOST, SECRET, Change, FakeManagedHsm, Said
from ..own_tls import Authority
from .asking import BINDING, KEY, error_of, works

CANARY = "c4n4ry"
VERSION = "0123456789abcdef" * 2
HSM = "https://portal.managedhsm.azure.net"
Opened = Callable[..., AzureKeyVault]


def settings(**values: str) -> AzureSettings:
    return AzureSettings.read({f"PORTAL_AZURE_{name.upper()}": value for name, value in values.items()})


@pytest.fixture
async def opened(fake_managed_hsm: FakeManagedHsm) -> AsyncIterator[Opened]:
    """Opens providers of the fake; `values` are other settings."""
    made: list[AzureKeyVault] = []

    def open_one(after: str = "", **values: str) -> AzureKeyVault:
        variables = fake_managed_hsm.variables | {f"PORTAL_AZURE_{name.upper()}": it for name, it in values.items()}
        address = HsmKeyAddress.parse(fake_managed_hsm.url.removeprefix("azure-keyvault:") + after)
        made.append(AzureKeyVault(address, AzureSettings.read(variables)))
        return made[-1]

    yield open_one
    for provider in made:
        await provider.aclose()


URLS = {
    f"{HSM}/keys/k-1": (HSM, "azure-keyvault:portal.managedhsm.azure.net/k-1", ""),
    f"{HSM}:443/keys/k/{VERSION}": (HSM, "azure-keyvault:portal.managedhsm.azure.net/k", VERSION),
    "https://Portal.managedhsm.usgovcloudapi.net:8443/keys/k": (
        "https://portal.managedhsm.usgovcloudapi.net:8443",
        "azure-keyvault:portal.managedhsm.usgovcloudapi.net/k",
        "",
    ),
}


@pytest.mark.parametrize(("rest", "expected"), URLS.items())
def test_a_url_names_hsm_key_and_version(rest: str, expected: tuple[str, str, str]) -> None:
    found = HsmKeyAddress.parse(rest)
    assert (found.hsm_url, found.key_id, found.version) == expected


@pytest.mark.parametrize(
    "rest",
    [
        "",
        CANARY,
        f"{HSM}/keys",
        f"{HSM}/secrets/{CANARY}",
        f"{HSM.replace('https', 'http')}/keys/k",
        f"{HSM.replace('//', f'//{CANARY}@')}/keys/k",
        f"{HSM}/keys/k/{CANARY}",
        f"{HSM}/keys/k/{VERSION}/",
        f"{HSM}/keys/k?x={CANARY}",
        f"{HSM}/keys/k#{CANARY}",
        f"{HSM}/keys/k%2F{CANARY}",
        f"{HSM}/keys/../{CANARY}",
        f"{HSM}/keys/k\n",
    ],
)
def test_another_url_is_refused_and_not_shown(rest: str) -> None:
    with pytest.raises(ConfigError, match=r"azure-keyvault:https://NAME\.managedhsm\.azure\.net/keys/KEY") as caught:
        HsmKeyAddress.parse(rest)
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize("domain", ["vault.azure.net", "vault.azure.cn", "vault.usgovcloudapi.net"])
def test_a_vault_which_has_no_key_that_binds_is_refused(domain: str) -> None:
    with pytest.raises(ConfigError, match=r"a vault cannot bind a data key: name a Managed HSM$"):
        HsmKeyAddress.parse(f"https://portal.{domain}/keys/k")


def test_a_key_whose_id_has_no_room_in_a_row_is_refused() -> None:
    host = "h" * (200 - len("azure-keyvault:/k"))
    assert len(HsmKeyAddress.parse(f"https://{host}/keys/k").key_id) == 200
    with pytest.raises(ConfigError, match="too long"):
        HsmKeyAddress.parse(f"https://{host}h/keys/k")


REFUSED: list[tuple[dict[str, str], str]] = [
    ({"auth": "client_secret"}, "PORTAL_AZURE_AUTH=client_secret needs PORTAL_AZURE_TENANT_ID$"),
    ({"auth": "client_secret", "tenant_id": "t"}, "PORTAL_AZURE_AUTH=client_secret needs PORTAL_AZURE_CLIENT_ID$"),
    (
        {"auth": "client_secret", "tenant_id": "t", "client_id": "c"},
        "PORTAL_AZURE_AUTH=client_secret needs PORTAL_AZURE_CLIENT_SECRET$",
    ),
    ({"auth": "workload_identity", "client_id": "c"}, "PORTAL_AZURE_AUTH=workload_identity needs PORTAL_AZURE_TENANT"),
    ({"client_id": f"{CANARY}/x"}, "PORTAL_AZURE_CLIENT_ID must be one word$"),
    ({"auth": "password", "client_secret": CANARY}, "PORTAL_AZURE_AUTH: "),
    ({"authority": f"https://{CANARY}/"}, "PORTAL_AZURE_AUTHORITY: "),
    ({"authority": f"{CANARY}\n"}, "PORTAL_AZURE_AUTHORITY: "),
]


@pytest.mark.parametrize(("values", "named"), REFUSED)
def test_settings_that_cannot_sign_in_are_refused_by_name(values: dict[str, str], named: str) -> None:
    with pytest.raises(ConfigError, match=f"^{named}") as caught:
        settings(**values)
    assert CANARY not in str(caught.value)


def test_authorities_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^PORTAL_AZURE_CA: .* cannot be read"):
        AzureKeyVault(HsmKeyAddress.parse(f"{HSM}/keys/k"), settings(ca=str(tmp_path / "none.pem")))


@pytest.mark.parametrize("missing", ["aiohttp", "azure.identity.aio"])
def test_without_the_client_library_one_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    for module in ("azure_keyvault", "azure_keyvault_server"):
        monkeypatch.delitem(sys.modules, f"portal.backends.keys.{module}", raising=False)
        monkeypatch.delattr(registry.__package__ and sys.modules[registry.__package__], module, raising=False)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ConfigError, match=rf"PORTAL_KEY_URLS needs {missing}: install portal\[azure\]"):
        open_key_providers([f"azure-keyvault:{HSM}/keys/k"], {})


async def test_a_wrap_is_what_the_format_says_and_old_versions_open(
    fake_managed_hsm: FakeManagedHsm, opened: Opened
) -> None:
    provider = opened()
    old = await provider.wrap(KEY, BINDING)
    fake_managed_hsm.rotate()
    new = await provider.wrap(KEY, BINDING)
    names = [name for name, _ in fake_managed_hsm.versions]
    assert [(len(wrapped), wrapped[0], wrapped[1:17].hex()) for wrapped in (old, new)] == [(77, 1, it) for it in names]
    assert [provider.version_of(it[:HEAD_BYTES]) for it in (old, new)] == [int(name[:8], 16) for name in names]
    assert await provider.unwrap(old, BINDING) == await provider.unwrap(new, BINDING) == KEY
    del fake_managed_hsm.versions[0]
    assert not (await error_of(provider.unwrap(old, BINDING))).transient


async def test_a_version_in_the_url_stays_and_opens_what_others_wrapped(
    fake_managed_hsm: FakeManagedHsm, opened: Opened
) -> None:
    first = fake_managed_hsm.versions[0][0]
    fake_managed_hsm.rotate()
    newest, pinned = opened(), opened(f"/{first}")
    assert (await pinned.wrap(KEY, BINDING))[1:17].hex() == first
    assert await pinned.unwrap(await newest.wrap(KEY, BINDING), BINDING) == KEY
    assert pinned.key_id == newest.key_id


def with_fields(**fields: Any) -> Change:
    """A change of the JSON of an answer; a field without a value goes."""

    def change(said: Said) -> Said:
        kept = {name: value for name, value in {**json.loads(said.content), **fields}.items() if value is not ...}
        return replace(said, content=json.dumps(kept).encode())

    return change


def saying(status: int, content: bytes = b"", /, **headers: str) -> Change:
    return lambda _: Said(status, content, {"Content-Type": "application/json", **headers})


AWAY: dict[str, Change] = {
    "no name": with_fields(kid=...),
    "a name that is none": with_fields(kid=1),
    "another key": with_fields(kid=f"https://{HOST}/keys/other/{VERSION}"),
    "another HSM": with_fields(kid=f"https://evil/keys/k/{VERSION}"),
    "no version": with_fields(kid=f"https://{HOST}/keys/k"),
    "nothing in it": with_fields(value=...),
    "no text": with_fields(value=1),
    "no base64": with_fields(value="!" * 43),
    "no ASCII": with_fields(value="ü" * 43),
    "a short one": with_fields(value="AAAA"),
    "a long one": with_fields(value="A" * 64),
    "another JSON": saying(200, b'["kid"]'),
    "deep JSON": saying(200, b"[" * 30_000),
    "a page": saying(200, b"<html>", **{"Content-Type": "text/html"}),
    "a page that says it is JSON": saying(200, b"<html>"),
    "no text at all": saying(200, b"\xff\xfe"),
    "a huge one": saying(200, b"{" + b" " * (1 << 20) + b"}"),
    "a packed one": saying(200, b"\x1f\x8b", **{"Content-Encoding": "gzip"}),
    "half a chunk": saying(200, b"5\r\n{", **{"Transfer-Encoding": "chunked", "Connection": "close"}),
    "no chunks": saying(200, b"{}{}{}\r\n", **{"Transfer-Encoding": "chunked"}),
    "nothing": saying(204),
    "a redirect": saying(307, Location="https://evil.localhost/keys/k"),
    "a right that is missing": saying(403, b'{"error": {"code": "Forbidden"}}'),
    "a token that is refused": saying(401),
    "too many requests": saying(429, b"{}", **{"Retry-After": "60"}),
    "a failure of its own": saying(500),
    "a gateway without a server": saying(502),
    "an outage": saying(503, **{"Retry-After": "60"}),
}


@pytest.mark.parametrize("change", AWAY.values(), ids=AWAY)
async def test_what_is_no_answer_of_an_hsm_is_a_provider_that_is_away(
    fake_managed_hsm: FakeManagedHsm, opened: Opened, change: Change
) -> None:
    provider = opened()
    wrapped = await provider.wrap(KEY, BINDING)
    fake_managed_hsm.change = change
    fake_managed_hsm.asked.clear()
    for call in (provider.wrap(KEY, BINDING), provider.unwrap(wrapped, BINDING), provider.check()):
        error = await error_of(call)
        assert error.transient
        assert error.code == "key_provider_away"
        assert "evil" not in f"{error!r} {error} {reason(error)} {error.__cause__!r}"
    asked = [
        path for path, headers in fake_managed_hsm.asked if path.startswith("/keys/") and "authorization" in headers
    ]
    assert len(asked) == 3  # nothing is tried again


@pytest.mark.parametrize("field", ["iv", "tag"])
@pytest.mark.parametrize("value", [..., "", "AAAA", "A" * 44, None])
async def test_a_wrap_without_all_its_parts_is_a_provider_that_is_away(
    fake_managed_hsm: FakeManagedHsm, opened: Opened, field: str, value: Any
) -> None:
    fake_managed_hsm.change = with_fields(**{field: value})
    assert (await error_of(opened().wrap(KEY, BINDING))).transient


async def test_the_key_of_another_version_is_not_taken(fake_managed_hsm: FakeManagedHsm, opened: Opened) -> None:
    provider = opened()
    wrapped = await provider.wrap(KEY, BINDING)
    kid = f"https://{HOST}:{fake_managed_hsm.port}/keys/k/{VERSION}"
    fake_managed_hsm.change = with_fields(kid=kid)
    assert (await error_of(provider.unwrap(wrapped, BINDING))).transient
    pinned = opened(f"/{fake_managed_hsm.versions[0][0]}")
    assert (await error_of(pinned.wrap(KEY, BINDING))).transient


@pytest.mark.parametrize("status", [400, 404, 405])
async def test_a_refusal_of_this_very_request_is_told_at_the_start_with_what_a_key_must_be(
    fake_managed_hsm: FakeManagedHsm, opened: Opened, status: int
) -> None:
    provider = opened()
    fake_managed_hsm.change = saying(status)
    assert not (await error_of(provider.wrap(KEY, BINDING))).transient
    with pytest.raises(
        ConfigError, match=rf"^PORTAL_KEY_URLS: .* \(the server answered {status}\): it must be an oct-"
    ):
        await provider.check()


SIGN_INS: dict[str, Change] = {
    "a refusal": saying(401, b'{"error": "invalid_client", "error_description": "evil"}'),
    "a failure": saying(500, b"{}"),
    "a page": saying(200, b"<html>evil", **{"Content-Type": "text/html"}),
    "no token": saying(200, b"{}"),
    "another JSON": saying(200, b"[]"),
    "a redirect": saying(302, Location="https://evil.localhost/"),
    "a huge one": saying(200, b"{" + b" " * (1 << 20) + b"}"),
    "too many requests": saying(429, b"{}", **{"Retry-After": "60"}),
}


@pytest.mark.parametrize("change", SIGN_INS.values(), ids=SIGN_INS)
async def test_a_sign_in_that_gives_no_token_is_a_provider_that_is_away(
    fake_managed_hsm: FakeManagedHsm, opened: Opened, caplog: pytest.LogCaptureFixture, change: Change
) -> None:
    fake_managed_hsm.change_sign_in = change
    error = await error_of(opened().wrap(KEY, BINDING))
    assert error.transient
    told = f"{error!r} {error} {reason(error)} {error.__cause__!r}"
    assert "evil" not in told + caplog.text
    assert SECRET not in told + caplog.text


CHALLENGES = {
    "another service": 'Bearer authorization="https://localhost:{port}/{tenant}", resource="https://evil.example"',
    "a domain that only ends alike": 'Bearer authorization="https://localhost:{port}/{tenant}", resource="https://calhost:{port}"',
    "another tenant": 'Bearer authorization="https://localhost:{port}/other", resource="https://localhost:{port}"',
    "half of one": "Bearer",
    "none": "Basic x",
}


@pytest.mark.parametrize("challenge", CHALLENGES.values(), ids=CHALLENGES)
async def test_no_token_is_sent_to_a_server_that_asks_for_one_of_another_service(
    fake_managed_hsm: FakeManagedHsm, opened: Opened, challenge: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = fake_managed_hsm.variables["PORTAL_AZURE_TENANT_ID"]
    text = challenge.format(port=fake_managed_hsm.port, tenant=tenant)
    said = Said.json(401, {}, **{"WWW-Authenticate": text})
    monkeypatch.setattr(fake_managed_hsm, "_challenge", lambda: said)
    forget_challenges()
    assert (await error_of(opened().wrap(KEY, BINDING))).transient
    assert not any("authorization" in headers for _, headers in fake_managed_hsm.asked)
    forget_challenges()


def forget_challenges() -> None:
    """The client remembers for the process how a server is signed in to."""
    from azure.keyvault.keys._shared import http_challenge_cache  # noqa: PLC0415

    http_challenge_cache.clear()


async def test_a_token_that_is_refused_is_fetched_anew(fake_managed_hsm: FakeManagedHsm, opened: Opened) -> None:
    provider = opened()
    assert await works(provider)
    fake_managed_hsm.tokens.clear()
    assert (await error_of(provider.wrap(KEY, BINDING))).transient
    assert await works(provider)


async def test_the_key_is_never_read_and_nothing_else_is_asked(
    fake_managed_hsm: FakeManagedHsm, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    fake_managed_hsm.change = lambda said: replace(said, headers={**said.headers, "Set-Cookie": "a=b; Path=/"})
    assert await works(opened())
    for target, headers in fake_managed_hsm.asked:
        assert target.split("?")[0].endswith(("/token", "/encrypt", "/decrypt"))
        assert "cookie" not in headers
        assert headers["accept-encoding"] == "identity"


async def test_tls_is_verified_by_the_authorities_that_are_named(opened: Opened, tmp_path: Path) -> None:
    error = await error_of(opened(ca=str(Authority(tmp_path).pem)).wrap(KEY, BINDING))
    assert error.transient
    assert reason(error).startswith("its certificate is not trusted")


async def test_a_place_where_nothing_listens_is_told(fake_managed_hsm: FakeManagedHsm) -> None:
    variables = fake_managed_hsm.variables
    provider = AzureKeyVault(HsmKeyAddress.parse(f"https://{HOST}:1/keys/k"), AzureSettings.read(variables))
    error = await error_of(provider.wrap(KEY, BINDING))
    assert (reason(error), error.transient) == ("nothing listens there (connection refused)", True)
    await provider.aclose()


async def begun(fake: FakeManagedHsm, calls: int) -> None:
    while len(fake.asked) < calls:  # noqa: ASYNC110  # the server's thread ends it
        await asyncio.sleep(0.001)


async def test_a_call_that_is_cancelled_leaves_the_next_one_well(
    fake_managed_hsm: FakeManagedHsm, opened: Opened
) -> None:
    provider = opened()
    assert await works(provider)
    fake_managed_hsm.going.clear()
    call = asyncio.create_task(provider.wrap(KEY, BINDING))
    await begun(fake_managed_hsm, len(fake_managed_hsm.asked) + 1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    fake_managed_hsm.going.set()
    assert await works(provider)


async def test_closing_ends_a_call_that_runs_and_refuses_later_ones(
    fake_managed_hsm: FakeManagedHsm, opened: Opened
) -> None:
    provider = opened()
    assert await works(provider)
    fake_managed_hsm.going.clear()
    call = asyncio.create_task(provider.wrap(KEY, BINDING))
    await begun(fake_managed_hsm, len(fake_managed_hsm.asked) + 1)
    await provider.aclose()
    for late in (call, provider.wrap(KEY, BINDING)):
        assert reason(await error_of(late)) == "the portal is stopping"


async def test_no_log_line_holds_a_key_a_token_or_a_secret(
    fake_managed_hsm: FakeManagedHsm, opened: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "azure")
    provider = opened()
    assert await works(provider)
    fake_managed_hsm.change = saying(400, CANARY.encode())
    await error_of(provider.wrap(KEY, BINDING))
    lines = caplog.text + str([vars(line) for line in caplog.records])
    for secret in (SECRET, CANARY, fake_managed_hsm.tokens[0], KEY.hex(), str(KEY), "AAECAwQFBgcI"):
        assert secret not in lines


async def test_a_provider_shows_no_secret(opened: Opened) -> None:
    provider = opened()
    assert await works(provider)
    server = provider._server
    assert SECRET not in "".join(repr(part) + str(vars(part)) for part in (provider, server, server._client))


async def test_a_workload_signs_in_with_the_token_in_its_file(opened: Opened, tmp_path: Path) -> None:
    path = tmp_path / "token"
    provider = opened(auth="workload_identity", client_secret="", token_path=str(path))
    error = await error_of(provider.wrap(KEY, BINDING))
    assert error.transient
    path.write_text(ASSERTION)
    assert await works(provider)


@asynccontextmanager
async def managed_identity(token: str) -> AsyncIterator[int]:
    """The port of a server in the place of the machine's own, which gives its identity a token."""
    said = json.dumps(
        {"access_token": token, "expires_on": "4102444800", "resource": "x", "token_type": "Bearer"}
    ).encode()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
        writer.write(head % len(said) + said)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def test_a_machine_of_microsoft_s_signs_in_with_its_own_identity(
    fake_managed_hsm: FakeManagedHsm, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_managed_hsm.tokens.append(CANARY)
    async with managed_identity(CANARY) as port:
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"http://127.0.0.1:{port}/token")
        monkeypatch.setenv("IDENTITY_HEADER", "x")
        assert await works(opened(auth="managed_identity", tenant_id="", client_id="", client_secret=""))
