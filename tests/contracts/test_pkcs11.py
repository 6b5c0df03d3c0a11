"""`pkcs11:` against a real SoftHSM: what a URI names, which keys are taken, and tokens that go, hang or lock.

That it is a key provider at all is in `test_key_provider.py`.
"""

import asyncio
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pkcs11 import Attribute, DeviceError, KeyType, Mechanism, MechanismFlag, Session, Token, TokenFlag
from pydantic import SecretStr

from portal.backends.keys import guarded, pkcs11_token
from portal.backends.keys.base import KeyProviderError
from portal.backends.keys.guarded import GuardedKeyProvider
from portal.backends.keys.pkcs11 import Pkcs11Key
from portal.backends.keys.pkcs11_settings import KeyAddress, Pkcs11Settings
from portal.backends.keys.pkcs11_token import TokenModule, module_at
from portal.backends.keys.registry import open_key_providers, shown
from portal.core.errors import ConfigError
from portal.core.secrets import Secret
from portal.db.reasons import reason

from ..own_softhsm import PIN, OwnSoftHsm
from .asking import BINDING, KEY, error_of, works

CANARY = "c4n4ry"


def opened(hsm: OwnSoftHsm, url: str | None = None, pin: str = PIN) -> Pkcs11Key:
    address = KeyAddress.parse((url or hsm.url("portal", "master")).removeprefix("pkcs11:"))
    return Pkcs11Key(address, Pkcs11Settings(pkcs11_pin=SecretStr(pin)))


@pytest.fixture
def token(softhsm: OwnSoftHsm) -> str:
    """A token of the test's own, with a key `master`."""
    label = uuid4().hex
    softhsm.make_token(label)
    softhsm.make_key(label, "master")
    return label


URIS = {
    "token=portal;object=master": "pkcs11:token=portal;object=master",
    "object=master;token=portal": "pkcs11:token=portal;object=master",
    "serial=1f;id=%a1%00": "pkcs11:serial=1f;id=%A1%00",
    "token=a%20b;object=m%c3%a4%3B;slot-id=7;type=secret-key": "pkcs11:token=a%20b;object=m%C3%A4%3B",
    "token=a;serial=1;object=o;id=%01;manufacturer=A%20B;model=v2": "pkcs11:token=a;serial=1;object=o;id=%01",
    "token=a;object=o?module-path=/usr/lib/x.so": "pkcs11:token=a;object=o",
}


@pytest.mark.parametrize(("rest", "key_id"), URIS.items())
def test_a_uri_names_token_and_key(rest: str, key_id: str) -> None:
    assert KeyAddress.parse(rest).key_id == key_id
    assert KeyAddress.parse(KeyAddress.parse(rest).key_id.removeprefix("pkcs11:")).key_id == key_id


@pytest.mark.parametrize(
    "rest",
    [
        "",
        CANARY,
        f"token={CANARY}",
        f"object={CANARY}",
        f"slot-id=1;object={CANARY}",
        f"token=a;token=b;object={CANARY}",
        f"token=;object={CANARY}",
        f"token=a;object={CANARY};type=private",
        f"token=a;object={CANARY};x-pin=1",
        f"token=a;object={CANARY};slot-id=x",
        f"token=a;object={CANARY}%",
        f"token=a;object={CANARY}%ff",
        f"token=a;object={CANARY}%00",
        f"token=a;object={CANARY} b",
        f"token=a;object={CANARY}?module-path=x.so",
        f"token=a;object={CANARY}?module-name=x",
        f"token=a;object={CANARY}?module-path=/a&module-path=/b",
        f"token=a;object={CANARY}#x",
    ],
)
def test_another_uri_is_refused_and_not_shown(rest: str) -> None:
    with pytest.raises(ConfigError, match="pkcs11:token=NAME;object=NAME") as caught:
        KeyAddress.parse(rest)
    assert CANARY not in str(caught.value)
    assert shown(f"pkcs11:{rest}") == "pkcs11:(not shown)"


@pytest.mark.parametrize("attribute", [f"pin-value={CANARY}", f"pin-source=file:/{CANARY}"])
def test_a_pin_in_a_uri_is_refused_and_not_shown(attribute: str) -> None:
    url = f"pkcs11:token=a;object=b?module-path=/x.so&{attribute}"
    with pytest.raises(ConfigError, match="takes no PIN: give it by PORTAL_PKCS11_PIN") as caught:
        open_key_providers([url], {"PORTAL_PKCS11_PIN": CANARY})
    assert CANARY not in str(caught.value) + shown(url)


def test_a_key_whose_id_has_no_room_in_a_row_is_refused() -> None:
    room = 200 - len("pkcs11:token=t;object=")
    assert len(KeyAddress.parse(f"token=t;object={'k' * room}").key_id) == 200
    with pytest.raises(ConfigError, match="too long"):
        KeyAddress.parse(f"token=t;object={'k' * (room + 1)}")


def test_what_is_missing_is_told_by_name() -> None:
    with pytest.raises(ConfigError, match=r"needs PORTAL_PKCS11_PIN$"):
        open_key_providers(["pkcs11:token=a;object=b?module-path=/x.so"], {})
    with pytest.raises(ConfigError, match=r"module-path=/path or by PORTAL_PKCS11_MODULE$"):
        open_key_providers(["pkcs11:token=a;object=b"], {"PORTAL_PKCS11_PIN": PIN})


async def test_the_module_may_be_a_setting(softhsm: OwnSoftHsm) -> None:
    settings = {"PORTAL_PKCS11_PIN": PIN, "PORTAL_PKCS11_MODULE": str(softhsm.module)}
    (provider,) = open_key_providers(["pkcs11:token=portal;object=master"], settings)
    await provider.check()
    assert await works(provider)
    await provider.aclose()


async def test_a_module_that_is_none_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "text.so").write_text("no module")
    for name in ("missing.so", "text.so"):
        address = KeyAddress.parse(f"token=a;object=b?module-path={tmp_path / name}")
        with pytest.raises(ConfigError, match=f"{name} cannot be loaded as a PKCS#11 module$"):
            await Pkcs11Key(address, Pkcs11Settings(pkcs11_pin=SecretStr(PIN))).check()


def test_a_provider_shows_no_pin(softhsm: OwnSoftHsm) -> None:
    provider = opened(softhsm)
    assert PIN not in repr(provider) + str(vars(provider)) + provider.key_id


async def test_what_a_uri_says_narrows_the_search(softhsm: OwnSoftHsm, token: str) -> None:
    serial = softhsm.serial(token)
    assert await works(opened(softhsm, f"pkcs11:serial={serial};id=%A1?module-path={softhsm.module}"))
    for other in ("manufacturer=other", "model=other", "slot-id=1", "serial=0"):
        url = f"pkcs11:token={token};object=master;{other}?module-path={softhsm.module}"
        error = await error_of(opened(softhsm, url).wrap(KEY, BINDING))
        assert (error.transient, reason(error)) == (True, "the token is not there")


async def test_a_name_of_two_keys_or_of_none_stops_the_start(softhsm: OwnSoftHsm, token: str) -> None:
    softhsm.make_key(token, "master", "B2")
    with pytest.raises(ConfigError, match=r"the token has several AES keys of this name: add id=$"):
        await opened(softhsm, softhsm.url(token, "master")).check()
    one = f"pkcs11:token={token};object=master;id=%B2?module-path={softhsm.module}"
    assert await works(opened(softhsm, one))
    with pytest.raises(ConfigError, match=r"the token has no AES key of this name$"):
        await opened(softhsm, softhsm.url(token, "other")).check()


async def test_a_name_of_two_tokens_stops_the_start(softhsm: OwnSoftHsm, token: str) -> None:
    softhsm.make_token(token)
    with pytest.raises(ConfigError, match=r"add serial= to it$"):
        await opened(softhsm, softhsm.url(token, "master")).check()


WEAK: dict[str, tuple[dict[Attribute, Any], str]] = {
    "extractable": ({Attribute.EXTRACTABLE: True}, "can be taken out of its token"),
    "readable": ({Attribute.SENSITIVE: False}, "can be read in clear"),
    "public": ({Attribute.PRIVATE: False}, "is used without a PIN"),
    "only opens": ({Attribute.ENCRYPT: False}, "must not encrypt"),
    "only wraps": ({Attribute.DECRYPT: False}, "must not decrypt"),
}


@pytest.mark.parametrize(("template", "said"), WEAK.values(), ids=WEAK)
async def test_a_weak_key_stops_the_start(
    softhsm: OwnSoftHsm, token: str, template: dict[Attribute, Any], said: str
) -> None:
    fine = {Attribute.PRIVATE: True, Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False}
    may = MechanismFlag.ENCRYPT | MechanismFlag.DECRYPT

    module, address = module_at(softhsm.module), KeyAddress.parse(f"token={token};object=weak")

    def make() -> None:
        with module._token(address).open(rw=True, user_pin=PIN) as session:
            session.generate_key(KeyType.AES, 256, label="weak", store=True, capabilities=may, template=fine | template)

    await module.thread.run(make)
    with pytest.raises(ConfigError, match=said):
        await opened(softhsm, softhsm.url(token, "weak")).check()


async def test_a_short_key_stops_the_start(softhsm: OwnSoftHsm, token: str) -> None:
    softhsm.make_key(token, "short", "B2", size=16)
    with pytest.raises(ConfigError, match=r"is no AES-256 key$"):
        await opened(softhsm, softhsm.url(token, "short")).check()


async def test_a_token_without_the_cipher_stops_the_start(
    softhsm: OwnSoftHsm, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pkcs11_token, "_AES_GCM", Mechanism.AES_CCM)  # which SoftHSM does not have
    with pytest.raises(ConfigError, match=r"the token has no AES-GCM$"):
        await opened(softhsm, softhsm.url(token, "master")).check()


async def test_several_keys_of_one_token_share_its_session(softhsm: OwnSoftHsm, token: str) -> None:
    softhsm.make_key(token, "next", "B2")
    one, two = (opened(softhsm, softhsm.url(token, label)) for label in ("master", "next"))
    assert await works(one)
    assert await works(two)
    await error_of(two.unwrap(await one.wrap(KEY, BINDING), BINDING))
    await one.aclose()
    assert await works(two)


async def test_a_wrong_pin_is_given_once(softhsm: OwnSoftHsm, token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[str] = []
    sign_in = TokenModule._signed_in

    def counted(module: TokenModule, found: Token, pin: Secret) -> Session:
        given.append(found.label)
        return sign_in(module, found, pin)

    monkeypatch.setattr(TokenModule, "_signed_in", counted)
    url = softhsm.url(token, "master")
    provider = opened(softhsm, url, pin=CANARY)
    with pytest.raises(ConfigError, match=r"refused PORTAL_PKCS11_PIN \(PinIncorrect\).*not given again") as caught:
        await provider.check()
    assert CANARY not in str(caught.value)
    for later in (provider, opened(softhsm, url)):  # not even the right one: a restart reads the settings anew
        assert (await error_of(later.wrap(KEY, BINDING))).transient
        with pytest.raises(ConfigError, match="refused PORTAL_PKCS11_PIN"):
            await later.check()
    assert given == [token]


async def test_the_last_try_that_a_token_allows_is_not_made(
    softhsm: OwnSoftHsm, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pkcs11_token, "_BLOCKED", TokenFlag.USER_PIN_COUNT_LOW)  # SoftHSM never locks, but counts
    softhsm_module = module_at(softhsm.module)
    url = softhsm.url(token, "master")
    with pytest.raises(ConfigError, match="refused"):
        await opened(softhsm, url, pin=CANARY).check()
    softhsm_module._refused.clear()
    with pytest.raises(ConfigError, match="locks at its next wrong PIN"):
        await opened(softhsm, url).check()


async def test_a_token_that_was_away_is_signed_in_at_anew(softhsm: OwnSoftHsm, token: str) -> None:
    provider = opened(softhsm, softhsm.url(token, "master"))
    wrapped = await provider.wrap(KEY, BINDING)
    with softhsm.without(token):
        for _ in range(3):
            assert (await error_of(provider.unwrap(wrapped, BINDING))).transient
    assert await eventually(provider, wrapped) == KEY
    await provider.check()


async def eventually(provider: Pkcs11Key, wrapped: bytes) -> bytes:
    """What the provider opens; the guard asks a few times as well."""
    for _ in range(3):
        try:
            return await provider.unwrap(wrapped, BINDING)
        except KeyProviderError as error:
            if not error.transient:
                raise
    raise AssertionError("the provider did not come back")


async def test_a_call_that_fails_once_while_the_token_works_is_no_refusal(
    softhsm: OwnSoftHsm, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider, failures, decrypt = opened(softhsm, softhsm.url(token, "master")), [DeviceError()], pkcs11_token._decrypt
    wrapped = await provider.wrap(KEY, BINDING)

    def failing_once(*arguments: Any) -> bytes:
        if failures:
            raise failures.pop()
        return decrypt(*arguments)

    monkeypatch.setattr(pkcs11_token, "_decrypt", failing_once)
    assert await provider.unwrap(wrapped, BINDING) == KEY


async def test_a_session_that_ended_is_opened_anew(softhsm: OwnSoftHsm, token: str) -> None:
    provider, module = opened(softhsm, softhsm.url(token, "master")), module_at(softhsm.module)
    wrapped = await provider.wrap(KEY, BINDING)
    (session,) = (one for one in module._sessions.values() if one.token.label == token)
    await module.thread.run(session.close)
    assert await eventually(provider, wrapped) == KEY


async def test_a_token_that_hangs_holds_one_thread_and_no_caller(softhsm: OwnSoftHsm, token: str) -> None:
    provider = opened(softhsm, softhsm.url(token, "master"))
    wrapped = await provider.wrap(KEY, BINDING)
    with softhsm.hanging(token):
        for _ in range(3):
            with pytest.raises((TimeoutError, KeyProviderError)):
                async with asyncio.timeout(0.05):
                    await provider.unwrap(wrapped, BINDING)
        error = await error_of(provider.unwrap(wrapped, BINDING))
        assert (error.transient, reason(error)) == (True, "the token still has to answer an earlier call")
    while True:
        try:
            assert await provider.unwrap(wrapped, BINDING) == KEY
            break
        except KeyProviderError:
            await asyncio.sleep(0.01)


async def test_a_call_that_is_cancelled_before_its_turn_is_not_made(softhsm: OwnSoftHsm) -> None:
    thread, made, turn = module_at(softhsm.module).thread, list[str](), threading.Event()
    first = asyncio.create_task(thread.run(turn.wait))
    second = asyncio.create_task(thread.run(lambda: made.append("second")))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.wait([second])
    turn.set()
    assert await first
    await thread.run(lambda: made.append("third"))
    assert made == ["third"]


async def test_behind_the_guard_an_outage_opens_the_circuit_and_ends_by_itself(
    softhsm: OwnSoftHsm, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guarded, "RECHECK_SECONDS", 0.01)
    monkeypatch.setattr(guarded, "PAUSE_SECONDS", 0.0)
    provider = GuardedKeyProvider(opened(softhsm, softhsm.url(token, "master")))
    await provider.check()
    with softhsm.without(token):
        await error_of(provider.wrap(KEY, BINDING))
        await error_of(provider.check())
    while True:
        try:
            await provider.check()
            break
        except KeyProviderError:
            await asyncio.sleep(0.01)
    assert await works(provider)
    await provider.aclose()


FORKING = """
import asyncio, os, sys
from uuid import UUID
from portal.backends.keys.base import Binding
from portal.backends.keys.registry import open_key_providers
url, pin = sys.argv[1:]
(provider,) = open_key_providers([url], {"PORTAL_PKCS11_PIN": pin})
binding = Binding(UUID(int=1), "none")
wrapped = asyncio.run(provider.wrap(bytes(32), binding))
child = os.fork()
assert asyncio.run(provider.unwrap(wrapped, binding)) == bytes(32)
if child:
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""


def test_a_forked_process_loads_the_module_for_itself(softhsm: OwnSoftHsm) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", FORKING, softhsm.url("portal", "master"), PIN], capture_output=True, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, b"")


HANGING = """
import asyncio, sys
from uuid import UUID
from portal.backends.keys.base import Binding
from portal.backends.keys.registry import open_key_providers
url, pin = sys.argv[1:]
(provider,) = open_key_providers([url], {"PORTAL_PKCS11_PIN": pin})
async def main():
    await provider.wrap(bytes(32), Binding(UUID(int=1), "none"))
    print("ready", flush=True)
    sys.stdin.readline()
    try:
        async with asyncio.timeout(0.2):
            await provider.wrap(bytes(32), Binding(UUID(int=1), "none"))
    except TimeoutError:
        print("late", flush=True)
    await provider.aclose()
asyncio.run(main())
"""


def test_a_process_ends_while_its_token_hangs(softhsm: OwnSoftHsm, token: str) -> None:
    command = [sys.executable, "-c", HANGING, softhsm.url(token, "master"), PIN]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        with softhsm.hanging(token):
            out, err = process.communicate(b"\n", timeout=60)
    assert (process.returncode, out, err) == (0, b"late\n", b"")
