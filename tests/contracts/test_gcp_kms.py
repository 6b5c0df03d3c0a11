"""`gcp-kms:` with Google's client against a fake of the service, which says wrong things, nothing, or too much.

That it is a key provider at all is in `test_key_provider.py`.
"""

import asyncio
import json
import logging
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from google.auth.credentials import TokenState
from google.cloud.kms_v1 import DecryptResponse, EncryptResponse

from portal.backends.keys import registry
from portal.backends.keys.base import HEAD_BYTES
from portal.backends.keys.gcp_kms import GcpKms
from portal.backends.keys.gcp_kms_settings import GcpKmsSettings, KmsKeyName
from portal.backends.keys.registry import open_key_providers
from portal.core.errors import ConfigError
from portal.db.reasons import reason

from ..fake_gcp_kms import Change, FakeGcpKms
from ..own_tls import Authority
from .asking import BINDING, KEY, error_of, works

CANARY = "c4n4ry"
NAME = "projects/p/locations/l/keyRings/r/cryptoKeys/k"
Opened = Callable[..., GcpKms]


def settings(**values: str) -> GcpKmsSettings:
    return GcpKmsSettings.read({f"PORTAL_GCP_{name.upper()}": value for name, value in values.items()})


@pytest.fixture
async def opened(fake_gcp_kms: FakeGcpKms) -> AsyncIterator[Opened]:
    """Opens providers of the fake; `values` are other settings."""
    made: list[GcpKms] = []

    def open_one(**values: str) -> GcpKms:
        variables = fake_gcp_kms.variables | {f"PORTAL_GCP_{name.upper()}": value for name, value in values.items()}
        made.append(GcpKms(KmsKeyName.parse(NAME), GcpKmsSettings.read(variables)))
        return made[-1]

    yield open_one
    for provider in made:
        await provider.aclose()


def test_a_url_names_a_key_and_the_id_of_the_key_is_short() -> None:
    name = KmsKeyName.parse("projects/example.com:p-1/locations/europe-west3/keyRings/R_1/cryptoKeys/k-1")
    assert name.resource == "projects/example.com:p-1/locations/europe-west3/keyRings/R_1/cryptoKeys/k-1"
    assert name.key_id == "gcp-kms:example.com:p-1/europe-west3/R_1/k-1"


@pytest.mark.parametrize(
    "rest",
    [
        "",
        CANARY,
        f"//{NAME}",
        f"{NAME}/cryptoKeyVersions/1",
        f"{NAME}/",
        f"{NAME}?token={CANARY}",
        f"{NAME}#{CANARY}",
        f"{NAME}\n",
        NAME.replace("keyRings/r", f"keyRings/{CANARY}/x"),
        NAME.replace("projects/p", "projects/"),
        NAME.replace("locations", "Locations"),
        NAME.replace("/k", "/" + "k" * 64),
    ],
)
def test_another_url_is_refused_and_not_shown(rest: str) -> None:
    with pytest.raises(ConfigError, match=r"gcp-kms:projects/PROJECT/.*/cryptoKeys/KEY, without a version$") as caught:
        KmsKeyName.parse(rest)
    assert CANARY not in str(caught.value)


def test_a_key_whose_id_has_no_room_in_a_row_is_refused() -> None:
    room = 200 - len("gcp-kms:/l/r/k")
    assert len(KmsKeyName.parse(NAME.replace("/p/", f"/{'p' * room}/")).key_id) == 200
    with pytest.raises(ConfigError, match="too long"):
        KmsKeyName.parse(NAME.replace("/p/", f"/{'p' * (room + 1)}/"))


VERSIONS = {
    f"{NAME}/cryptoKeyVersions/7": 7,
    f"{NAME.replace('/p/', '/1234/')}/cryptoKeyVersions/7": 7,  # the number of the project
    f"{NAME.replace('/p/', '/q/')}/cryptoKeyVersions/7": None,
    f"{NAME.replace('/k', '/other')}/cryptoKeyVersions/7": None,
    f"{NAME.replace('/l/', '/m/')}/cryptoKeyVersions/7": None,
    f"{NAME}/cryptoKeyVersions/0": None,
    f"{NAME}/cryptoKeyVersions/07": None,
    f"{NAME}/cryptoKeyVersions/9999999999": None,
    f"{NAME}/cryptoKeyVersions/\u0667": None,
    NAME: None,
    "": None,
}


@pytest.mark.parametrize(("resource", "version"), VERSIONS.items())
def test_the_version_of_another_key_is_none_of_this_one(resource: str, version: int | None) -> None:
    assert KmsKeyName.parse(NAME).version_in(resource) == version


ACCOUNT = {"type": "service_account", "client_email": CANARY, "token_uri": CANARY, "private_key": CANARY}
REFUSED = {
    "no JSON": CANARY,
    "another JSON": f'["{CANARY}"]',
    "deep JSON": "[" * 100_000,
    "no kind": f'{{"x": "{CANARY}"}}',
    "a kind that is no text": '{"type": []}',
    "a user": json.dumps({"type": "authorized_user", "refresh_token": CANARY}),
    "a program that is run": json.dumps(
        {"type": "external_account", "audience": "x", "credential_source": {"executable": {"command": CANARY}}}
    ),
    "half an account": json.dumps({"type": "service_account", "client_email": CANARY}),
    "an account without a key": json.dumps(ACCOUNT),
    "an account with another key": json.dumps({**ACCOUNT, "private_key": 1}),
}


@pytest.mark.parametrize("credentials", REFUSED.values(), ids=REFUSED)
def test_credentials_that_cannot_sign_in_are_refused_and_not_shown(credentials: str) -> None:
    with pytest.raises(ConfigError, match=r"^PORTAL_GCP_CREDENTIALS must be the JSON of ") as caught:
        GcpKms(KmsKeyName.parse(NAME), settings(credentials=credentials))
    assert CANARY not in f"{caught.value} {caught.value.__cause__!r}"


@pytest.mark.parametrize("endpoint", ["host", "https://host:443", "host:443/x", "u@host:443", ":443", "host:1\n"])
def test_an_endpoint_is_host_and_port(endpoint: str) -> None:
    with pytest.raises(ConfigError, match=r"^PORTAL_GCP_KMS_ENDPOINT: "):
        settings(kms_endpoint=endpoint)


def test_authorities_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^PORTAL_GCP_KMS_CA: .* cannot be read"):
        GcpKms(KmsKeyName.parse(NAME), settings(kms_ca=str(tmp_path / "none.pem")))


@pytest.mark.parametrize("missing", ["grpc", "google_crc32c"])
def test_without_the_client_library_one_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    for module in ("gcp_kms", "gcp_kms_server", "gcp_tokens"):
        monkeypatch.delitem(sys.modules, f"portal.backends.keys.{module}", raising=False)
        monkeypatch.delattr(registry.__package__ and sys.modules[registry.__package__], module, raising=False)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ConfigError, match=rf"PORTAL_KEY_URLS needs {missing}: install portal\[gcp\]"):
        open_key_providers([f"gcp-kms:{NAME}"], {})


async def test_a_wrap_names_the_version_of_the_master_key_and_old_versions_open(
    fake_gcp_kms: FakeGcpKms, opened: Opened
) -> None:
    provider = opened()
    old = await provider.wrap(KEY, BINDING)
    fake_gcp_kms.rotate()
    new = await provider.wrap(KEY, BINDING)
    assert [provider.version_of(wrapped[:HEAD_BYTES]) for wrapped in (old, new)] == [1, 2]
    assert await provider.unwrap(old, BINDING) == await provider.unwrap(new, BINDING) == KEY
    del fake_gcp_kms.versions[1]  # destroyed
    assert not (await error_of(provider.unwrap(old, BINDING))).transient
    assert await provider.unwrap(new, BINDING) == KEY


async def test_a_wrap_that_names_another_version_than_its_own_does_not_open(
    fake_gcp_kms: FakeGcpKms, opened: Opened
) -> None:
    fake_gcp_kms.rotate()
    provider = opened()
    wrapped = await provider.wrap(KEY, BINDING)
    for version in (0, 1, 3):
        changed = wrapped[:1] + version.to_bytes(4, "big") + wrapped[5:]
        assert not (await error_of(provider.unwrap(changed, BINDING))).transient


async def test_a_wrap_is_what_the_format_says(opened: Opened) -> None:
    wrapped = await opened().wrap(KEY, BINDING)
    info = b"SFP1 master-key version\0\0\0\x01"
    check = HKDF(algorithm=SHA256(), length=16, salt=None, info=info).derive(KEY)
    assert wrapped.startswith(b"\x01\0\0\0\x01" + check)


def with_fields(**fields: Any) -> Change:
    def change(answer: Any) -> Any:
        for name, value in fields.items():
            setattr(answer, name, value)
        return answer

    return change


WRONG_WRAPS = {
    "another checksum": with_fields(ciphertext_crc32c=1),
    "no checksum": with_fields(ciphertext_crc32c=None),
    "a changed ciphertext": with_fields(ciphertext=bytes(64)),
    "a key that was changed on the way": with_fields(verified_plaintext_crc32c=False),
    "a context that was changed on the way": with_fields(verified_additional_authenticated_data_crc32c=False),
    "another key": with_fields(name=f"{NAME}x/cryptoKeyVersions/1"),
    "no version": with_fields(name=NAME),
    "no name": with_fields(name=""),
    "nothing in it": lambda _: EncryptResponse(),
    "no bytes": lambda _: b"",
    "no message": lambda _: b"\xff",
    "a short ciphertext": with_fields(ciphertext=b"x" * 59, ciphertext_crc32c=0xC0C50F40),
    "a huge one": with_fields(ciphertext=bytes(1 << 20)),
}
WRONG_KEYS = {
    "another checksum": with_fields(plaintext_crc32c=1),
    "no checksum": with_fields(plaintext_crc32c=None),
    "a changed key": with_fields(plaintext=bytes(32)),
    "nothing in it": lambda _: DecryptResponse(),
    "no bytes": lambda _: b"",
    "no message": lambda _: b"\xff",
    "a huge one": with_fields(plaintext=bytes(1 << 20)),
    "a short key": lambda _: DecryptResponse(plaintext=bytes(31), plaintext_crc32c=0x0F9B4C05),
}


@pytest.mark.parametrize("change", WRONG_WRAPS.values(), ids=WRONG_WRAPS)
async def test_a_wrap_that_was_changed_on_the_way_is_a_provider_that_is_away(
    fake_gcp_kms: FakeGcpKms, opened: Opened, change: Change
) -> None:
    fake_gcp_kms.change = change
    error = await error_of(opened().wrap(KEY, BINDING))
    assert error.transient
    assert error.code == "key_provider_away"


@pytest.mark.parametrize("change", WRONG_KEYS.values(), ids=WRONG_KEYS)
async def test_a_key_that_was_changed_on_the_way_is_a_provider_that_is_away(
    fake_gcp_kms: FakeGcpKms, opened: Opened, change: Change
) -> None:
    provider = opened()
    wrapped = await provider.wrap(KEY, BINDING)
    fake_gcp_kms.change = change
    assert (await error_of(provider.unwrap(wrapped, BINDING))).transient


FINAL = {"FAILED_PRECONDITION", "INVALID_ARGUMENT", "NOT_FOUND", "OUT_OF_RANGE", "UNIMPLEMENTED"}


async def test_of_each_status_it_is_known_whether_it_may_pass(fake_gcp_kms: FakeGcpKms, opened: Opened) -> None:
    provider = opened()
    for status in set(grpc.StatusCode) - {grpc.StatusCode.OK}:
        fake_gcp_kms.fault = status
        error = await error_of(provider.wrap(KEY, BINDING))
        assert (reason(error), error.transient) == (f"the server answered {status.name}", status.name not in FINAL)
    fake_gcp_kms.fault = None
    assert await works(provider)


async def test_a_token_that_is_refused_is_not_used_again(fake_gcp_kms: FakeGcpKms, opened: Opened) -> None:
    provider = opened()
    assert await works(provider)
    assert len(set(fake_gcp_kms.tokens)) == 1
    fake_gcp_kms.fault = grpc.StatusCode.UNAUTHENTICATED
    assert (await error_of(provider.wrap(KEY, BINDING))).transient
    assert provider._server._tokens._state is TokenState.INVALID
    fake_gcp_kms.fault = None
    assert await works(provider)


async def test_tls_is_verified_by_the_authorities_that_are_named(opened: Opened, tmp_path: Path) -> None:
    other = Authority(tmp_path)
    error = await error_of(opened(kms_ca=str(other.pem)).wrap(KEY, BINDING))
    assert (reason(error), error.transient) == ("its certificate is not trusted", True)


async def test_an_endpoint_where_nothing_listens_is_told(opened: Opened) -> None:
    error = await error_of(opened(kms_endpoint="127.0.0.1:1").wrap(KEY, BINDING))
    assert (reason(error), error.transient) == ("nothing listens there (connection refused)", True)


async def test_a_call_that_is_cancelled_leaves_its_connection_which_may_be_dead(
    fake_gcp_kms: FakeGcpKms, opened: Opened
) -> None:
    provider = opened()
    assert await works(provider)
    fake_gcp_kms.going.clear()
    call = asyncio.create_task(provider.wrap(KEY, BINDING))
    while fake_gcp_kms.calls["Encrypt"] < 2:  # noqa: ASYNC110  # the server's thread ends it
        await asyncio.sleep(0.001)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    fake_gcp_kms.going.set()
    before = set(fake_gcp_kms.peers)
    assert await works(provider)
    assert len(before) == 1
    assert fake_gcp_kms.peers[-1] not in before


async def test_closing_ends_a_call_that_runs_and_refuses_later_ones(fake_gcp_kms: FakeGcpKms, opened: Opened) -> None:
    provider = opened()
    fake_gcp_kms.going.clear()
    call = asyncio.create_task(provider.wrap(KEY, BINDING))
    while not fake_gcp_kms.calls["Encrypt"]:  # noqa: ASYNC110  # the server's thread ends it
        await asyncio.sleep(0.001)
    await provider.aclose()
    for late in (call, provider.wrap(KEY, BINDING), provider.check()):
        assert reason(await error_of(late)) == "the connection is closed"


async def test_no_log_line_holds_a_key_or_a_token(
    fake_gcp_kms: FakeGcpKms, opened: Opened, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    google = logging.getLogger("google")
    monkeypatch.setattr(google, "propagate", True)
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "google.cloud")
    provider = opened()
    assert await works(provider)
    fake_gcp_kms.change = lambda _: b"\xff"
    await error_of(provider.wrap(KEY, BINDING))
    lines = caplog.text + str([vars(line) for line in caplog.records])
    assert fake_gcp_kms.tokens[0] not in lines
    assert KEY.hex() not in lines
    assert str(KEY) not in lines


def test_a_provider_shows_no_secret(fake_gcp_kms: FakeGcpKms) -> None:
    provider = GcpKms(KmsKeyName.parse(NAME), GcpKmsSettings.read(fake_gcp_kms.variables))
    shown = "".join(repr(part) + str(vars(part)) for part in (provider, provider._server, provider._server._tokens))
    assert "PRIVATE" not in shown


@pytest.mark.filterwarnings("ignore:The .* method is deprecated:DeprecationWarning")
async def test_without_credentials_those_of_the_machine_are_used(
    fake_gcp_kms: FakeGcpKms, opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "account.json"
    path.write_text(fake_gcp_kms.account)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    assert await works(opened(credentials=""))


async def test_a_machine_without_credentials_is_a_provider_that_is_away(
    opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    error = await error_of(opened(credentials="").wrap(KEY, BINDING))
    assert (reason(error), error.transient) == ("the credentials give no token", True)


@asynccontextmanager
async def giving_tokens(token: str) -> AsyncIterator[tuple[int, list[bytes]]]:
    """The port of a server in the place of Google's token service, and the bodies that it was sent."""
    asked: list[bytes] = []
    said = json.dumps(
        {"access_token": token, "issued_token_type": "x", "token_type": "Bearer", "expires_in": 3600}
    ).encode()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        asked.append(await reader.readexactly(int(length.partition(b":")[2])))
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(said) + said)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1], asked


def federated(port: int, subject: Path) -> str:
    source = {"credential_source": {"file": str(subject)}, "subject_token_type": "urn:ietf:params:oauth:token-type:jwt"}
    pool = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/cluster"
    where = {"audience": pool, "token_url": f"http://127.0.0.1:{port}/"}
    return json.dumps({"type": "external_account", **source, **where})


async def test_a_workload_s_own_token_is_exchanged_once_for_all_callers(
    fake_gcp_kms: FakeGcpKms, opened: Opened, tmp_path: Path
) -> None:
    subject = tmp_path / "token"
    subject.write_text(CANARY)
    async with giving_tokens(fake_gcp_kms.token()) as (port, asked):
        provider = opened(credentials=federated(port, subject))
        assert all(await asyncio.gather(*(works(provider) for _ in range(5))))
    assert len(asked) == 1
    assert CANARY.encode() in asked[0]
    assert b"auth%2Fcloudkms" in asked[0]


async def test_a_token_that_is_good_for_minutes_more_outlives_a_sign_in_that_fails(
    fake_gcp_kms: FakeGcpKms, opened: Opened, tmp_path: Path
) -> None:
    subject = tmp_path / "token"
    subject.write_text(CANARY)
    async with giving_tokens(fake_gcp_kms.token()) as (port, _):
        provider = opened(credentials=federated(port, subject))
        assert await works(provider)
    credentials = provider._server._tokens._credentials
    assert credentials is not None
    credentials.expiry = datetime.now(UTC).replace(tzinfo=None) + timedelta(minutes=2)
    assert await works(provider)
    credentials.expiry = datetime.now(UTC).replace(tzinfo=None)
    error = await error_of(provider.wrap(KEY, BINDING))
    assert (reason(error), error.transient) == ("the credentials give no token", True)
    assert CANARY not in f"{error!r} {error.__cause__!r}"
