"""`vault-transit:` against a real OpenBao server, and against what may stand in its place.

That it is a key provider at all is in `test_key_provider.py`.
"""

import asyncio
import json
import logging
import os
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from socket import create_connection
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jose import jwt

from portal.backends.keys import registry, vault_tokens
from portal.backends.keys.base import HEAD_BYTES
from portal.backends.keys.registry import open_key_providers
from portal.backends.keys.vault import VaultTransit
from portal.backends.keys.vault_settings import VaultAddress, VaultSettings
from portal.core import clock
from portal.core.errors import ConfigError
from portal.core.secrets import Secret
from portal.db.reasons import reason

from ..own_openbao import OwnOpenBao
from ..own_tls import Authority, fronted
from ..standing_in import answer, standing_in
from .asking import BINDING, KEY, error_of, works

CANARY = "c4n4ry"
Opened = Callable[..., VaultTransit]


def address(url: str) -> VaultAddress:
    return VaultAddress.parse(url.removeprefix("vault-transit:"))


def settings(**values: str) -> VaultSettings:
    return VaultSettings.read({f"PORTAL_VAULT_{name.upper()}": value for name, value in values.items()})


@pytest.fixture
async def opened(openbao: OwnOpenBao) -> AsyncIterator[Opened]:
    """Opens providers of one server, each with a token of the portal's policy unless other settings are given."""
    made: list[VaultTransit] = []

    def open_one(url: str = openbao.url, **values: str) -> VaultTransit:
        made.append(VaultTransit(address(url), settings(**(values or {"token": openbao.token()}))))
        return made[-1]

    yield open_one
    for provider in made:
        await provider.aclose()


URLS = {
    "//vault.example.org/transit/portal": ("https://vault.example.org:8200/v1/", "vault-transit:transit/portal"),
    "//10.0.0.1:443/team/transit/portal": ("https://10.0.0.1:443/v1/", "vault-transit:team/transit/portal"),
    "//127.0.0.1:1/transit/portal": ("http://127.0.0.1:1/v1/", "vault-transit:transit/portal"),
    "//[::1]/transit/portal": ("http://[::1]:8200/v1/", "vault-transit:transit/portal"),
    "//localhost/t/k?namespace=a/b": ("http://localhost:8200/v1/", "vault-transit:a/b/t/k"),
}


@pytest.mark.parametrize(("rest", "expected"), URLS.items())
def test_a_url_names_server_mount_and_key(rest: str, expected: tuple[str, str]) -> None:
    found = VaultAddress.parse(rest)
    assert (found.base_url(tls=not found.is_loopback), found.key_id) == expected


@pytest.mark.parametrize(
    "rest",
    [
        "",
        CANARY,
        f"//host/{CANARY}",
        f"///transit/{CANARY}",
        f"//token:{CANARY}@host/transit/portal",
        f"//{CANARY}@host/transit/portal",
        f"//host:{CANARY}/transit/portal",
        f"//[{CANARY}/transit/portal",
        f"//host/transit/portal#{CANARY}",
        f"//host/transit/portal?token={CANARY}",
        f"//host/transit/portal?namespace=a&namespace={CANARY}",
        "//host/transit/portal?namespace=",
        f"//host/transit/../{CANARY}",
        f"//host//transit/{CANARY}",
        f"//host/transit/{CANARY}%2F",
        f"//ho st/transit/{CANARY}",
    ],
)
def test_another_url_is_refused_and_not_shown(rest: str) -> None:
    with pytest.raises(ConfigError, match="vault-transit://host:port/mount/key") as caught:
        VaultAddress.parse(rest)
    assert CANARY not in str(caught.value)


REFUSED: list[tuple[dict[str, str], str]] = [
    ({}, "PORTAL_VAULT_AUTH=token needs PORTAL_VAULT_TOKEN$"),
    ({"auth": "approle", "role_id": CANARY}, "PORTAL_VAULT_AUTH=approle needs PORTAL_VAULT_SECRET_ID$"),
    ({"auth": "approle", "secret_id": CANARY}, "PORTAL_VAULT_AUTH=approle needs PORTAL_VAULT_ROLE_ID$"),
    ({"auth": "kubernetes", "token": CANARY}, "PORTAL_VAULT_AUTH=kubernetes needs PORTAL_VAULT_ROLE$"),
    ({"auth": "password", "token": CANARY}, "PORTAL_VAULT_AUTH: "),
    ({"token": f"{CANARY}\nX-Other: x"}, "PORTAL_VAULT_TOKEN must be one word$"),
    ({"token": CANARY, "auth_mount": "../x"}, "PORTAL_VAULT_AUTH_MOUNT must be a path"),
]


def test_a_key_whose_id_has_no_room_in_a_row_is_refused() -> None:
    room = 200 - len("vault-transit:transit/")
    assert len(VaultAddress.parse(f"//host/transit/{'k' * room}").key_id) == 200
    with pytest.raises(ConfigError, match="too long"):
        VaultAddress.parse(f"//host/transit/{'k' * (room + 1)}")


@pytest.mark.parametrize(("values", "named"), REFUSED)
def test_settings_that_cannot_sign_in_are_refused_by_name(values: dict[str, str], named: str) -> None:
    with pytest.raises(ConfigError, match=f"^{named}") as caught:
        settings(**values)
    assert CANARY not in str(caught.value)


def test_without_the_http_client_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("vault", "vault_server", "vault_tokens"):
        monkeypatch.delitem(sys.modules, f"portal.backends.keys.{module}", raising=False)
    monkeypatch.delattr(registry.__package__ and sys.modules[registry.__package__], "vault", raising=False)
    monkeypatch.setitem(sys.modules, "httpx", None)
    with pytest.raises(ConfigError, match=r"PORTAL_KEY_URLS needs httpx: install portal\[vault\]"):
        open_key_providers(["vault-transit://127.0.0.1/transit/portal"], {"PORTAL_VAULT_TOKEN": CANARY})


async def test_a_key_that_is_not_derived_ignores_the_binding_and_is_refused_at_the_start(
    openbao: OwnOpenBao, opened: Opened
) -> None:
    provider = opened(openbao.url.replace("/portal", "/unbound"), token=openbao.root_token)
    other = replace(BINDING, scope="none")
    assert await provider.unwrap(await provider.wrap(KEY, BINDING), other) == KEY  # the reason for the check
    with pytest.raises(ConfigError, match="make a key with derived=true"):
        await provider.check()


async def test_a_wrap_names_the_version_of_the_master_key_and_old_versions_open(
    openbao: OwnOpenBao, opened: Opened
) -> None:
    openbao.ask("POST", "transit/keys/turning", derived=True)
    provider = opened(openbao.url.replace("/portal", "/turning"), token=openbao.root_token)
    old = await provider.wrap(KEY, BINDING)
    openbao.ask("POST", "transit/keys/turning/rotate")
    new = await provider.wrap(KEY, BINDING)
    assert [int.from_bytes(wrapped[1:5], "big") for wrapped in (old, new)] == [1, 2]
    assert [provider.version_of(wrapped[:HEAD_BYTES]) for wrapped in (old, new)] == [1, 2]
    assert await provider.unwrap(old, BINDING) == await provider.unwrap(new, BINDING) == KEY
    openbao.ask("POST", "transit/keys/turning/config", min_decryption_version=2)
    assert not (await error_of(provider.unwrap(old, BINDING))).transient
    assert await provider.unwrap(new, BINDING) == KEY


async def test_version_nought_which_the_server_takes_for_the_first_is_refused(opened: Opened) -> None:
    provider = opened()
    wrapped = await provider.wrap(KEY, BINDING)
    assert wrapped[:5] == b"\x01\0\0\0\x01"
    assert not (await error_of(provider.unwrap(wrapped[:4] + b"\0" + wrapped[5:], BINDING))).transient


FORBIDDEN = [
    "transit/keys/portal/rotate",
    "transit/keys/portal/config",
    "transit/keys/new",
    "transit/rewrap/portal",
    "transit/datakey/plaintext/portal",
    "transit/encrypt/unbound",
    "transit/encrypt/new",
    "auth/token/create",
]


async def test_the_policy_allows_two_verbs_on_one_key_and_nothing_else(openbao: OwnOpenBao, opened: Opened) -> None:
    token = openbao.token()
    await opened(token=token).check()
    server = opened(token=token)._server
    answers = [await server.ask(path, {"plaintext": ""}, Secret(token.encode())) for path in FORBIDDEN]
    assert [path for path, answer in zip(FORBIDDEN, answers, strict=True) if not answer.denied] == []


async def test_a_namespace_is_another_place(openbao: OwnOpenBao, opened: Opened) -> None:
    openbao.ask("POST", "sys/namespaces/team")
    openbao.ask("POST", "team/sys/mounts/transit", type="transit")
    openbao.ask("POST", "team/transit/keys/portal", derived=True)
    inside, outside = opened(f"{openbao.url}?namespace=team", token=openbao.root_token), opened()
    await inside.check()
    assert inside.key_id != outside.key_id
    await error_of(outside.unwrap(await inside.wrap(KEY, BINDING), BINDING))


async def test_a_renewable_token_is_renewed_when_most_of_its_life_is_over(
    openbao: OwnOpenBao, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider, renewals = opened(token=openbao.token(ttl="1h")), openbao.calls("auth/token/renew-self")
    assert await works(provider)
    assert await works(provider)
    assert openbao.calls("auth/token/renew-self") == renewals + 1
    lease = provider._tokens._lease
    assert lease is not None
    monkeypatch.setattr(provider._tokens, "_lease", replace(lease, renew_at=0.0))
    assert await works(provider)
    assert openbao.calls("auth/token/renew-self") == renewals + 2
    assert provider._tokens._lease is not None
    assert lease.renew_at < provider._tokens._lease.renew_at < provider._tokens._lease.ends_at


async def test_a_token_that_cannot_be_renewed_is_used_as_it_is(openbao: OwnOpenBao, opened: Opened) -> None:
    assert await works(opened(token=openbao.token(renewable=False)))


async def test_a_token_that_was_revoked_is_told_and_one_that_comes_in_its_place_works(
    openbao: OwnOpenBao, opened: Opened
) -> None:
    provider = opened(token=(token := openbao.token()))
    assert await works(provider)
    openbao.ask("POST", "auth/token/revoke", token=token)
    error = await error_of(provider.wrap(KEY, BINDING))
    assert (error.transient, error.denied, reason(error)) == (True, True, "the server answered 403")
    assert token not in str(error)


@pytest.fixture(scope="session")
def approle(openbao: OwnOpenBao) -> dict[str, str]:
    """The settings of an AppRole."""
    openbao.ask("POST", "sys/auth/approle", type="approle")
    openbao.ask("POST", "auth/approle/role/portal", token_policies=["portal"], token_ttl="20m")
    role = openbao.ask("GET", "auth/approle/role/portal/role-id")["data"]["role_id"]
    secret = openbao.ask("POST", "auth/approle/role/portal/secret-id")["data"]["secret_id"]
    return {"auth": "approle", "role_id": role, "secret_id": secret}


@pytest.fixture(scope="session")
def kubernetes(openbao: OwnOpenBao, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The settings of a service account. There is no Kubernetes here: the server judges the same request by a key."""
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    openbao.ask("POST", "sys/auth/cluster", type="jwt")
    openbao.ask("POST", "auth/cluster/config", jwt_validation_pubkeys=[public.decode()], jwt_supported_algs=["ES256"])
    role = {"role_type": "jwt", "user_claim": "sub", "bound_audiences": ["vault"], "token_policies": ["portal"]}
    openbao.ask("POST", "auth/cluster/role/portal", **role, token_ttl="20m")
    path = tmp_path_factory.mktemp("account") / "token"
    began, ends = clock.now() - timedelta(minutes=1), clock.now() + timedelta(hours=1)
    claims = {"sub": "portal", "aud": "vault", "iat": began, "nbf": began, "exp": ends}
    path.write_text(jwt.encode(claims, private.decode(), algorithm="ES256") + "\n")
    return {"auth": "kubernetes", "role": "portal", "auth_mount": "cluster", "jwt_path": str(path)}


@pytest.mark.parametrize("method", ["approle", "kubernetes"])
async def test_a_sign_in_is_shared_and_made_anew_when_its_token_is_over_or_ended(
    openbao: OwnOpenBao, opened: Opened, request: pytest.FixtureRequest, method: str
) -> None:
    provider = opened(**request.getfixturevalue(method))
    path = provider._tokens._settings.login_path
    before = openbao.calls(path)
    wrapped = await asyncio.gather(*(provider.wrap(KEY, BINDING) for _ in range(10)))
    assert openbao.calls(path) == before + 1
    lease = provider._tokens._lease
    assert lease is not None
    openbao.ask("POST", "auth/token/revoke", token=lease.token.reveal().decode())
    assert await provider.unwrap(wrapped[0], BINDING) == KEY
    assert openbao.calls(path) == before + 2
    assert provider._tokens._lease is not None
    provider._tokens._lease = replace(provider._tokens._lease, renew_at=0.0)
    assert await provider.unwrap(wrapped[0], BINDING) == KEY
    assert openbao.calls(path) == before + 3


async def test_a_sign_in_that_is_refused_is_a_provider_that_is_away(opened: Opened, approle: dict[str, str]) -> None:
    error = await error_of(opened(**{**approle, "secret_id": CANARY}).wrap(KEY, BINDING))
    assert (error.transient, error.denied) == (True, True)
    assert reason(error) == "the sign-in was answered 400"


async def test_a_token_that_is_still_good_outlives_a_sign_in_that_fails(
    opened: Opened, kubernetes: dict[str, str], tmp_path: Path
) -> None:
    provider, gone = opened(**kubernetes), tmp_path / "gone"
    assert await works(provider)
    lease = provider._tokens._lease
    assert lease is not None
    provider._tokens._settings = settings(**{**kubernetes, "jwt_path": str(gone)})
    provider._tokens._lease = replace(lease, renew_at=0.0)
    assert await works(provider)
    provider._tokens._lease = replace(lease, renew_at=0.0, ends_at=0.0)
    assert str(gone) in reason(await error_of(provider.wrap(KEY, BINDING)))


async def test_a_token_that_is_still_good_outlives_a_sign_in_that_hangs(
    opened: Opened, approle: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang() -> Any:
        await asyncio.Future()

    monkeypatch.setattr(vault_tokens, "_PATIENCE_SECONDS", 0.01)
    provider = opened(**approle)
    assert await works(provider)
    tokens = provider._tokens
    assert tokens._lease is not None
    tokens._lease = replace(tokens._lease, renew_at=0.0)
    monkeypatch.setattr(tokens, "_signed_in", hang)
    async with asyncio.timeout(10):
        assert await works(provider)


async def test_tls_is_verified_by_the_authorities_that_are_named(
    openbao: OwnOpenBao, opened: Opened, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    ours, other = Authority(tmp_path), Authority(tmp_path / "other")
    with fronted(lambda: create_connection(("127.0.0.1", openbao.port)), ours.issue("localhost")) as port:
        url = openbao.url.replace(f"127.0.0.1:{openbao.port}", f"localhost:{port}")
        assert await works(opened(url, token=openbao.token(), ca=str(ours.pem)))
        error = await error_of(opened(url, token=openbao.token(), ca=str(other.pem)).check())
        by_number = url.replace("localhost", "127.0.0.1")
        other_name = await error_of(opened(by_number, token=openbao.token(), ca=str(ours.pem)).check())
    for refused in (error, other_name):
        assert refused.transient
        assert reason(refused).startswith("its certificate is not trusted")


async def test_tls_that_breaks_in_the_middle_is_a_provider_that_is_away(opened: Opened, tmp_path: Path) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        os.write(writer.get_extra_info("socket").fileno(), b"\x17\x03\x03\0\x20" + bytes(32))  # no one's record

    ours, tls = Authority(tmp_path), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(ours.issue("localhost"))
    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls) as server:
        port = server.sockets[0].getsockname()[1]
        error = await error_of(opened(f"//localhost:{port}/t/k", token=CANARY, ca=str(ours.pem)).wrap(KEY, BINDING))
    assert (error.transient, reason(error)) == (True, "no TLS connection came about")


def test_a_file_of_authorities_that_is_none_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="PORTAL_VAULT_CA"):
        VaultTransit(address("vault-transit://localhost/t/k"), settings(token=CANARY, ca=str(tmp_path / "none.pem")))


def data(**fields: Any) -> bytes:
    return answer(body=json.dumps({"data": fields, "auth": {"client_token": CANARY, "lease_duration": 60}}).encode())


RIGHT = {"ciphertext": "vault:v1:" + "A" * 80, "plaintext": "A" * 43 + "="}
NONSENSE: dict[str, bytes] = {
    "a proxy's page": answer(body=b"<html>", kind="text/html"),
    "the right words of another type": answer(body=json.dumps({"data": RIGHT}).encode(), kind="text/html"),
    "a page that says it is JSON": answer(body=b"<html>"),
    "a redirect": answer("307 Temporary Redirect", b"", "Location: http://127.0.0.1:1/"),
    "a failure of its own": answer("500 Internal Server Error"),
    "a sealed server": answer("503 Service Unavailable", b'{"errors":["sealed"]}'),
    "a gateway without a server": answer("502 Bad Gateway", b"<html>", kind="text/html"),
    "too many requests": answer("429 Too Many Requests"),
    "no content": answer("204 No Content", b""),
    "a huge body": answer(body=json.dumps({"data": RIGHT, "more": "x" * (1 << 20)}).encode()),
    "a packed body": answer("200 OK", b"\x1f\x8b", "Content-Encoding: gzip"),
    "deep JSON": answer(body=b"[" * 10_000),
    "another JSON": answer(body=b'["data"]'),
    "no data": answer(body=b"{}"),
    "data that is no object": answer(body=b'{"data": "x"}'),
    "data without the field": data(),
    "a field of another kind": data(ciphertext=1, plaintext=None),
    "a ciphertext of no version": data(ciphertext="vault:v0:" + "A" * 80, plaintext="!"),
    "a short ciphertext, a short key": data(ciphertext="vault:v1:AAAA", plaintext="AAAA"),
    "a long ciphertext, a long key": data(ciphertext="vault:v1:" + "A" * 400, plaintext="A" * 44),
    "no HTTP": b"SSH-2.0-OpenSSH\r\n",
    "half an answer": answer(body=b" " * 100)[:-50],
    "nothing": b"",
}


@pytest.mark.parametrize("said", NONSENSE.values(), ids=NONSENSE)
async def test_what_is_no_answer_of_a_vault_is_a_provider_that_is_away(
    said: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "portal")
    renewed = data()

    def respond(head: bytes) -> bytes:
        return renewed if b"renew-self" in head.split(b"\r\n")[0] else said

    async with standing_in(respond) as port:
        provider = VaultTransit(address(f"vault-transit://127.0.0.1:{port}/t/k"), settings(token=CANARY))
        wrapped = b"\x01\0\0\0\x01" + bytes(60)
        for call in (provider.wrap(KEY, BINDING), provider.unwrap(wrapped, BINDING), provider.check()):
            error = await error_of(call)
            assert error.transient
            assert error.code == "key_provider_away"
            assert CANARY not in f"{error!r} {error} {reason(error)} {error.__cause__!r}"
        await provider.aclose()
    assert CANARY not in caplog.text


@pytest.mark.parametrize("said", [answer("400 Bad Request"), answer("404 Not Found"), answer("405 Method Not Allowed")])
async def test_a_refusal_of_this_very_request_is_tried_no_second_time(said: bytes) -> None:
    async with standing_in(lambda _: said) as port:
        provider = VaultTransit(address(f"vault-transit://127.0.0.1:{port}/t/k"), settings(token=CANARY))
        assert not (await error_of(provider.wrap(KEY, BINDING))).transient
        await provider.aclose()


@pytest.mark.parametrize(
    "auth",
    [{}, {"client_token": 1, "lease_duration": 1}, {"client_token": "a\nb", "lease_duration": 1}]
    + [{"client_token": "x", "lease_duration": wrong} for wrong in (-1, 1.5, "1", True, 10**12, None)],
)
async def test_a_sign_in_that_gives_no_token_is_a_provider_that_is_away(auth: dict[str, Any]) -> None:
    said = answer(body=json.dumps({"auth": auth}).encode())
    async with standing_in(lambda _: said) as port:
        values = {"auth": "approle", "role_id": "r", "secret_id": CANARY}
        provider = VaultTransit(address(f"vault-transit://127.0.0.1:{port}/t/k"), settings(**values))
        assert (await error_of(provider.wrap(KEY, BINDING))).transient
        await provider.aclose()


async def test_a_server_is_asked_without_proxy_unpacking_or_cookies(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heads: list[bytes] = []

    def respond(head: bytes) -> bytes:
        heads.append(head.lower())
        return data(**RIGHT).replace(b"\r\n", b"\r\nSet-Cookie: a=b; Path=/\r\n", 1)

    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    async with standing_in(respond) as port:
        url = f"vault-transit://127.0.0.1:{port}/t/k?namespace=team"
        provider = VaultTransit(address(url), settings(token=CANARY))
        await provider.wrap(KEY, BINDING)
        await provider.aclose()
    renewal, wrap = heads
    assert renewal.startswith(b"post /v1/auth/token/renew-self http")
    assert wrap.startswith(b"post /v1/t/encrypt/k http")
    for head in heads:
        assert b"cookie" not in head
        assert b"accept-encoding: identity\r\n" in head
        assert b"x-vault-namespace: team\r\n" in head
        assert b"x-vault-request: true\r\n" in head
        assert f"x-vault-token: {CANARY}\r\n".encode() in head


def test_a_provider_shows_no_secret() -> None:
    values = {"auth": "approle", "role_id": "r", "secret_id": CANARY, "token": CANARY}
    provider = VaultTransit(address("vault-transit://127.0.0.1/t/k"), settings(**values))
    shown = [repr(part) + str(vars(part)) for part in (provider, provider._tokens, provider._server)]
    assert not any(CANARY in text for text in shown)
    assert CANARY not in repr(vars(provider._server._client))
