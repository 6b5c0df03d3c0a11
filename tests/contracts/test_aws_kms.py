"""`aws-kms:` against moto's server, and against what may stand in its place.

That it is a key provider at all is in `test_key_provider.py`. moto lets a disabled key work and throttles nobody: such
answers come from a server here that says what AWS documents. It is a fake.
"""

import asyncio
import base64
import json
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from socket import create_connection
from typing import Any
from urllib.parse import urlsplit

import pytest

from portal.backends.keys import guarded, registry
from portal.backends.keys.aws_kms import AwsKms
from portal.backends.keys.aws_settings import AwsSettings, KmsKey
from portal.backends.keys.guarded import GuardedKeyProvider
from portal.backends.keys.registry import open_key_providers
from portal.core.errors import ConfigError
from portal.db.reasons import reason

from ..own_moto import POLICY, OwnMoto
from ..own_tls import Authority, fronted
from ..standing_in import answer, standing_in
from .asking import BINDING, KEY, error_of, works

CANARY = "c4n4ry"
ID = "1234abcd-12ab-34cd-56ef-1234567890ab"
ARN = f"arn:aws:kms:eu-central-1:111122223333:key/{ID}"
Opened = Callable[..., AwsKms]


def settings(**values: str) -> AwsSettings:
    return AwsSettings.read({f"PORTAL_AWS_{name.upper()}": value for name, value in values.items()})


@pytest.fixture
async def opened() -> AsyncIterator[Opened]:
    """Opens providers; without other settings, one of a user of nobody's."""
    made: list[AwsKms] = []

    def open_one(arn: str = ARN, **values: str) -> AwsKms:
        given = {"access_key_id": "AKIAEXAMPLE", "secret_access_key": CANARY} | values
        made.append(AwsKms(KmsKey.parse(arn), settings(**given)))
        return made[-1]

    yield open_one
    for provider in made:
        await provider.aclose()


@pytest.fixture
def theirs(moto_server: OwnMoto) -> dict[str, str]:
    """The settings of the portal's user at moto's server."""
    return {name.removeprefix("PORTAL_AWS_").lower(): value for name, value in moto_server.variables.items()}


ENDPOINTS = {
    ARN: "https://kms.eu-central-1.amazonaws.com/",
    f"arn:aws-us-gov:kms:us-gov-west-1:111122223333:key/{ID}": "https://kms.us-gov-west-1.amazonaws.com/",
    f"arn:aws-cn:kms:cn-north-1:111122223333:key/{ID}": "https://kms.cn-north-1.amazonaws.com.cn/",
    f"arn:aws-eusc:kms:eusc-de-east-1:111122223333:key/{ID}": "https://kms.eusc-de-east-1.amazonaws.eu/",
}


@pytest.mark.parametrize(("arn", "endpoint"), ENDPOINTS.items())
def test_an_arn_names_the_key_and_where_it_is(arn: str, endpoint: str) -> None:
    key = KmsKey.parse(arn)
    assert (key.key_id, key.endpoint(settings())) == (f"aws-kms:{arn}", endpoint)


def test_a_partition_whose_hosts_are_not_known_needs_an_endpoint() -> None:
    key = KmsKey.parse(f"arn:aws-iso:kms:us-iso-east-1:111122223333:key/{ID}")
    assert key.endpoint(settings(endpoint="https://kms.example.org:8443")) == "https://kms.example.org:8443/"
    with pytest.raises(ConfigError, match="the partition aws-iso needs PORTAL_AWS_ENDPOINT"):
        key.endpoint(settings())


def test_the_replicas_of_a_multi_region_key_are_one_master_key() -> None:
    one, other = (ARN.replace("eu-central-1", region).replace(ID, "mrk-" + "0a" * 16) for region in ("a-1", "b-2"))
    assert (
        KmsKey.parse(one).key_id
        == KmsKey.parse(other).key_id
        == f"aws-kms:arn:aws:kms::111122223333:key/mrk-{'0a' * 16}"
    )
    assert KmsKey.parse(one).endpoint(settings()) != KmsKey.parse(other).endpoint(settings())
    assert KmsKey.parse(ARN).key_id != KmsKey.parse(ARN.replace("eu-central-1", "a-1")).key_id


WRONG = [
    "",
    CANARY,
    f"//{CANARY}",
    ID,
    ARN.replace(":key/", f":alias/{CANARY}"),
    ARN.replace(ID, f"../{CANARY}"),
    ARN.replace("eu-central-1", f"{CANARY}.example.org/"),
    ARN.replace("111122223333", CANARY),
    ARN.replace(":kms:", ":s3:"),
    f"{ARN}\n",
    f"{ARN}?{CANARY}",
    ARN.upper(),
]


@pytest.mark.parametrize("rest", WRONG)
def test_what_is_no_arn_of_a_key_is_refused_and_not_shown(rest: str) -> None:
    with pytest.raises(ConfigError, match="is written aws-kms:arn:aws:kms:REGION:ACCOUNT:key/ID") as caught:
        KmsKey.parse(rest)
    assert CANARY not in str(caught.value)
    assert registry.shown(f"aws-kms:{rest}") == "aws-kms:(not shown)"


def test_an_alias_is_refused_with_the_reason() -> None:
    with pytest.raises(ConfigError, match="not with an alias: that may be pointed at another key"):
        KmsKey.parse("arn:aws:kms:eu-central-1:111122223333:alias/portal")
    assert registry.shown(f"aws-kms:{ARN}") == f"aws-kms:{ARN}"


SECRET = {"access_key_id": "AKIAEXAMPLE", "secret_access_key": CANARY}
REFUSED: list[tuple[dict[str, str], str]] = [
    ({"access_key_id": "AKIAEXAMPLE"}, "are set together or not at all"),
    ({"secret_access_key": CANARY}, "are set together or not at all"),
    ({**SECRET, "secret_access_key": f"{CANARY} x"}, "PORTAL_AWS_SECRET_ACCESS_KEY must be one word"),
    ({**SECRET, "access_key_id": "x\n"}, "PORTAL_AWS_ACCESS_KEY_ID must be one word"),
    *[
        ({"endpoint": endpoint}, "PORTAL_AWS_ENDPOINT must be https")
        for endpoint in (
            "http://kms.example.org",
            "kms.example.org",
            f"https://user:{CANARY}@kms.example.org",
            "https://kms.example.org/path",
            f"https://kms.example.org?{CANARY}",
            "https://",
            "https://kms.example.org:99999",
            "ftp://127.0.0.1",
            "http://[::1",
        )
    ],
]


@pytest.mark.parametrize(("values", "told"), REFUSED)
def test_settings_that_cannot_be_right_stop_the_start_and_show_no_secret(values: dict[str, str], told: str) -> None:
    with pytest.raises(ConfigError, match=told) as caught:
        settings(**values)
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize(
    "endpoint", ["http://localhost:1", "http://127.0.0.1", "http://[::1]:5/", "https://kms.vpce.example.org/"]
)
def test_an_endpoint_is_by_tls_or_on_this_machine(endpoint: str) -> None:
    assert KmsKey.parse(ARN).endpoint(settings(endpoint=endpoint)) == f"{endpoint.removesuffix('/')}/"


def test_a_file_of_authorities_that_is_none_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="PORTAL_AWS_CA"):
        AwsKms(KmsKey.parse(ARN), settings(ca=str(tmp_path / "none.pem")))


async def test_the_registry_opens_the_key_that_its_url_names(moto_server: OwnMoto) -> None:
    (provider,) = open_key_providers([moto_server.url], moto_server.variables)
    await provider.check()
    assert provider.key_id == moto_server.url
    await provider.aclose()


FORBIDDEN = ["GenerateDataKey", "ReEncrypt", "DescribeKey", "ListKeys", "GetKeyPolicy", "PutKeyPolicy", "CreateGrant"]
FORBIDDEN += ["CreateKey", "DisableKey", "ScheduleKeyDeletion", "RotateKeyOnDemand", "UpdateAlias"]


async def test_the_policy_of_the_docs_is_enough_and_no_more(
    moto_server: OwnMoto, opened: Opened, theirs: dict[str, str]
) -> None:
    provider = opened(moto_server.key, **theirs)
    await provider.check()
    errors = [await error_of(provider._server.ask(verb, {"KeyId": moto_server.key})) for verb in FORBIDDEN]
    assert {reason(error) for error in errors} == {"the server answered 403"}
    (statement,) = json.loads(POLICY.read_text())["Statement"]
    assert statement["Resource"] == "arn:aws:kms:REGION:ACCOUNT:key/ID"  # moto heeds no resource: this is read alone


@pytest.mark.parametrize("wrong", [{"secret_access_key": CANARY}, {"access_key_id": "AKIAEXAMPLE"}])
async def test_credentials_that_are_refused_are_a_provider_that_is_away(
    moto_server: OwnMoto, opened: Opened, theirs: dict[str, str], wrong: dict[str, str]
) -> None:
    error = await error_of(opened(moto_server.key, **(theirs | wrong)).wrap(KEY, BINDING))
    assert (error.transient, error.denied) == (True, True)
    assert CANARY not in f"{error!r} {reason(error)} {error.__cause__!r}"


async def test_a_key_that_is_not_there_is_a_provider_that_is_away(opened: Opened, theirs: dict[str, str]) -> None:
    error = await error_of(opened(**theirs).wrap(KEY, BINDING))
    assert (error.denied, reason(error)) == (True, "the server answered 400 NotFoundException")


async def test_what_another_key_encrypted_is_refused_by_kms_too(
    moto_server: OwnMoto, opened: Opened, theirs: dict[str, str]
) -> None:
    ours, other = opened(moto_server.key, **theirs), opened(moto_server.other_key, **theirs)
    head = (await ours.wrap(KEY, BINDING))[:9]
    assert not (await error_of(ours.unwrap(head + (await other.wrap(KEY, BINDING))[9:], BINDING))).transient


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """A machine on which the SDK finds no credentials."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_ROLE_ARN"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "BOTO_CONFIG"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return monkeypatch


def on_the_machine(moto_server: OwnMoto) -> dict[str, str]:
    return {"endpoint": moto_server.endpoint, "access_key_id": "", "secret_access_key": ""}


async def test_without_an_access_key_the_credentials_are_the_machines(
    moto_server: OwnMoto, opened: Opened, machine: pytest.MonkeyPatch
) -> None:
    provider = opened(moto_server.key, **on_the_machine(moto_server))
    error = await error_of(provider.wrap(KEY, BINDING))
    assert (error.denied, reason(error)) == (True, "no credentials were found on this machine")
    key_id, secret = moto_server.access_key
    machine.setenv("AWS_ACCESS_KEY_ID", key_id)
    machine.setenv("AWS_SECRET_ACCESS_KEY", secret)
    assert all(await asyncio.gather(*(works(provider) for _ in range(5))))


async def test_credentials_that_cannot_be_read_are_told_by_their_kind_alone(
    moto_server: OwnMoto, opened: Opened, machine: pytest.MonkeyPatch
) -> None:
    machine.setenv("AWS_PROFILE", CANARY)
    error = await error_of(opened(moto_server.key, **on_the_machine(moto_server)).wrap(KEY, BINDING))
    assert (error.denied, reason(error)) == (True, "no credentials: ProfileNotFound")


async def test_the_session_token_of_temporary_credentials_is_signed_and_not_logged(
    opened: Opened, machine: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    requests: list[bytes] = []
    machine.setenv("AWS_ACCESS_KEY_ID", "ASIAEXAMPLE")
    machine.setenv("AWS_SECRET_ACCESS_KEY", CANARY)
    machine.setenv("AWS_SESSION_TOKEN", "t0k3n")

    def respond(request: bytes) -> bytes:
        requests.append(request)
        return encrypted()

    async with standing_in(respond) as port:
        provider = opened(endpoint=f"http://127.0.0.1:{port}", access_key_id="", secret_access_key="")
        caplog.set_level(logging.DEBUG, "portal")
        await provider.wrap(KEY, BINDING)
    (asked,) = requests
    assert b"X-Amz-Security-Token: t0k3n\r\n" in asked
    assert b"x-amz-security-token" in asked.partition(b"SignedHeaders=")[2].partition(b",")[0]
    assert CANARY.encode() not in asked
    assert "t0k3n" not in caplog.text


async def test_tls_is_verified_by_the_authorities_that_are_named(
    moto_server: OwnMoto, opened: Opened, theirs: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    ours, other = Authority(tmp_path), Authority(tmp_path / "other")
    server = ("127.0.0.1", urlsplit(moto_server.endpoint).port or 0)
    with fronted(lambda: create_connection(server), ours.issue("localhost")) as port:
        named = theirs | {"endpoint": f"https://localhost:{port}"}
        assert await works(opened(moto_server.key, **named, ca=str(ours.pem)))
        wrong = [opened(moto_server.key, **named), opened(moto_server.key, **named, ca=str(other.pem))]
        by_number = named | {"endpoint": f"https://127.0.0.1:{port}"}
        wrong.append(opened(moto_server.key, **by_number, ca=str(ours.pem)))
        refused = [await error_of(provider.wrap(KEY, BINDING)) for provider in wrong]
    for error in refused:
        assert error.transient
        assert reason(error).startswith("its certificate is not trusted")


def told(**members: Any) -> bytes:
    return answer(body=json.dumps(members).encode(), kind="application/x-amz-json-1.1")


def encrypted(**members: Any) -> bytes:
    """What KMS says to both verbs, where nothing else is said."""
    blob, key = base64.b64encode(bytes(160)).decode(), base64.b64encode(KEY).decode()
    return told(**({"KeyId": ARN, "CiphertextBlob": blob, "Plaintext": key} | members))


def error(status: str, code: str) -> bytes:
    return answer(status, json.dumps({"__type": code, "message": CANARY}).encode(), kind="application/x-amz-json-1.1")


WRAPPED = AwsKms(KmsKey.parse(ARN), settings(**SECRET))._kid


def a_wrap() -> bytes:
    return b"\x01" + WRAPPED + bytes(160)


NONSENSE: dict[str, bytes] = {
    "a proxy's page": answer(body=b"<html>", kind="text/html"),
    "a redirect": answer("307 Temporary Redirect", b"", "Location: http://127.0.0.1:1/"),
    "a failure of its own": error("500 Internal Server Error", "KMSInternalException"),
    "a part of it that is too slow": error("503 Service Unavailable", "DependencyTimeoutException"),
    "a gateway without a server": answer("502 Bad Gateway", b"<html>", kind="text/html"),
    "too many requests": error("400 Bad Request", "com.amazonaws.kms#ThrottlingException"),
    "too many, by status": answer("429 Too Many Requests"),
    "a refusal without a code": answer("400 Bad Request"),
    "a refusal with nonsense in place of a code": error("400 Bad Request", f"{CANARY} {CANARY}"),
    "no content": answer("204 No Content", b""),
    "a huge body": encrypted(more="x" * (1 << 20)),
    "a packed body": answer("200 OK", b"\x1f\x8b", "Content-Encoding: gzip"),
    "deep JSON": answer(body=b"[" * 10_000),
    "another JSON": answer(body=b'["KeyId"]'),
    "nothing in it": told(),
    "an answer of another key": encrypted(KeyId=ARN.replace("1234abcd", "00000000")),
    "an answer of no key": encrypted(KeyId=None),
    "fields of another kind": encrypted(CiphertextBlob=1, Plaintext=None),
    "fields that are no base64": encrypted(CiphertextBlob="!" * 160, Plaintext="!"),
    "a short ciphertext, a short key": encrypted(CiphertextBlob="AAAA", Plaintext="AAAA"),
    "a long ciphertext, a long key": encrypted(CiphertextBlob="A" * 2000, Plaintext="A" * 44),
    "no HTTP": b"SSH-2.0-OpenSSH\r\n",
    "half an answer": answer(body=b" " * 100)[:-50],
    "nothing": b"",
}


@pytest.mark.parametrize("said", NONSENSE.values(), ids=NONSENSE)
async def test_what_is_no_answer_of_kms_is_a_provider_that_is_away(
    opened: Opened, said: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "portal")
    async with standing_in(lambda _: said) as port:
        provider = opened(endpoint=f"http://127.0.0.1:{port}")
        for call in (provider.wrap(KEY, BINDING), provider.unwrap(a_wrap(), BINDING), provider.check()):
            found = await error_of(call)
            assert (found.transient, found.denied, found.code) == (True, False, "key_provider_away")
            assert CANARY not in f"{found!r} {found} {reason(found)} {found.__cause__!r}"
    assert CANARY not in caplog.text


DENIED = [
    "AccessDeniedException",
    "DisabledException",
    "KMSInvalidStateException",
    "com.amazonaws.kms#NotFoundException",
]
DENIED += [
    "ExpiredTokenException",
    "UnrecognizedClientException",
    "InvalidSignatureException:http://x",
    "OptInRequired",
]


@pytest.mark.parametrize("code", DENIED)
async def test_a_key_that_is_disabled_or_refused_opens_the_circuit_and_is_asked_once_a_call(
    opened: Opened, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bytes] = []
    monkeypatch.setattr(guarded, "RECHECK_SECONDS", 60)

    def respond(request: bytes) -> bytes:
        asked.append(request)
        return error("400 Bad Request", code)

    async with standing_in(respond) as port:
        guard = GuardedKeyProvider(opened(endpoint=f"http://127.0.0.1:{port}"))
        errors = [await error_of(guard.unwrap(a_wrap(), BINDING)) for _ in range(2 * guarded.OPEN_AFTER)]
        errors.append(await error_of(guard.check()))
        await guard.aclose()
    plain = code.rpartition("#")[2].partition(":")[0]
    assert {reason(found) for found in errors} == {f"the server answered 400 {plain}"}
    assert len(asked) == guarded.OPEN_AFTER


@pytest.mark.parametrize("code", ["InvalidCiphertextException", "IncorrectKeyException", "ValidationException"])
async def test_a_refusal_of_this_very_wrap_says_nothing_of_the_provider(opened: Opened, code: str) -> None:
    async with standing_in(lambda _: error("400 Bad Request", code)) as port:
        found = await error_of(opened(endpoint=f"http://127.0.0.1:{port}").unwrap(a_wrap(), BINDING))
    assert (found.transient, reason(found)) == (False, f"the server answered 400 {code}")


async def test_a_key_that_wraps_with_a_public_key_stops_the_start(opened: Opened) -> None:
    async with standing_in(lambda _: error("400 Bad Request", "InvalidKeyUsageException")) as port:
        with pytest.raises(ConfigError, match="cannot bind a data key: make a symmetric encryption key"):
            await opened(endpoint=f"http://127.0.0.1:{port}").check()


async def test_a_server_that_ignores_the_context_stops_the_start(opened: Opened) -> None:
    probe = b""

    def respond(request: bytes) -> bytes:
        nonlocal probe
        body = json.loads(request.partition(b"\r\n\r\n")[2])
        probe = base64.b64decode(body.get("Plaintext", "")) or probe
        return encrypted(Plaintext=base64.b64encode(probe).decode())

    async with standing_in(respond) as port:
        with pytest.raises(ConfigError, match="cannot bind a data key"):
            await opened(endpoint=f"http://127.0.0.1:{port}").check()


async def test_a_server_that_hangs_costs_what_the_guard_allows(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.close()

    over = asyncio.Event()
    monkeypatch.setattr(guarded, "CALL_SECONDS", 0.5)  # it is connected by then
    monkeypatch.setattr(guarded, "ATTEMPTS", 1)
    async with await asyncio.start_server(hang, "127.0.0.1", 0) as server:
        guard = GuardedKeyProvider(opened(endpoint=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"))
        assert reason(await error_of(guard.wrap(KEY, BINDING))) == "no answer in time"
        await guard.aclose()
        over.set()


async def test_kms_is_asked_for_the_key_and_the_context_without_proxy_unpacking_or_cookies(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests: list[bytes] = []

    def respond(request: bytes) -> bytes:
        requests.append(request)
        return encrypted().replace(b"\r\n", b"\r\nSet-Cookie: a=b; Path=/\r\n", 1)

    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    async with standing_in(respond) as port:
        provider = opened(endpoint=f"http://127.0.0.1:{port}")
        await provider.unwrap(await provider.wrap(KEY, BINDING), BINDING)
    bodies = [json.loads(request.partition(b"\r\n\r\n")[2]) for request in requests]
    heads = [request.partition(b"\r\n\r\n")[0].lower() for request in requests]
    context = {"purpose": "SFP1 data-key", "kid": WRAPPED.hex(), "data_key_id": str(BINDING.data_key_id)}
    for body in bodies:
        assert body["KeyId"] == ARN
        assert body["EncryptionAlgorithm"] == "SYMMETRIC_DEFAULT"
        assert body["EncryptionContext"] == {**context, "scope": BINDING.scope}
    for verb, head in zip((b"encrypt", b"decrypt"), heads, strict=True):
        assert b"x-amz-target: trentservice." + verb in head
        assert b"accept-encoding: identity\r\n" in head
        assert b"cookie" not in head
        assert CANARY.encode() not in head


async def test_another_replica_opens_what_one_wrapped(opened: Opened) -> None:
    one, other = (ARN.replace("eu-central-1", region).replace(ID, "mrk-" + "0a" * 16) for region in ("a-1", "b-2"))

    def respond(request: bytes) -> bytes:  # each region answers with the ARN of its own replica
        return encrypted(KeyId=json.loads(request.partition(b"\r\n\r\n")[2])["KeyId"])

    async with standing_in(respond) as port:
        here, there = (opened(arn, endpoint=f"http://127.0.0.1:{port}") for arn in (one, other))
        assert await there.unwrap(await here.wrap(KEY, BINDING), BINDING) == KEY


def test_a_provider_shows_no_secret(opened: Opened) -> None:
    provider = opened()
    parts = (provider, provider._server, provider._server._credentials)
    assert not any(CANARY in repr(part) + str(vars(part)) for part in parts)
