"""`portal doctor`: every setting with its source, every part with its true state, no secret, and nothing made."""

from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from portal.settings import Settings

from ..own_redis import OwnRedis
from .conftest import Shell

CANARY = "c4n4ry"


def parts(shell: Shell) -> dict[str, tuple[str, str]]:
    return {part["name"]: (part["state"], part["told"]) for part in shell("doctor", "--json").json["parts"]}


def test_a_portal_that_is_well_says_so(portal: Shell, own_redis: OwnRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTAL_RATE_LIMIT_URL", own_redis.url)
    ran = portal("doctor")
    assert (ran.code, ran.err) == (0, "")
    found = parts(portal)
    ((key_id, *_),) = [name.split()[2:] for name in found if name.startswith("master key ")]
    assert {name: state for name, (state, _) in found.items()} == {
        "settings": "ok",
        "database": "ok",
        "store, scanners and keys": "warning",  # no scanner
        f"master key {key_id}": "ok",
        "redis": "ok",
        "libmagic": "ok",
        "disk": "ok",
        "proxies": "ok",
        "descriptors": found["descriptors"][0],  # the machine's
    }
    assert str(portal.folder / "var" / "portal.db") in found["database"][1]
    assert "master keys" in found["store, scanners and keys"][1]


def test_every_setting_is_shown_with_its_source_and_no_secret(portal: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTAL_GRACE_SECONDS", "7")
    monkeypatch.setenv("PORTAL_DATABASE_URL", f"sqlite:///{portal.folder}/var/portal.db")
    secrets = [line.partition("=")[2] for line in (portal.folder / ".env").read_text().splitlines()]
    (portal.folder / "key").write_text(sha256(b"other").hexdigest())
    with (portal.folder / ".env").open("a") as file:
        file.write("PORTAL_GRACE_SECONDS=9\nPORTAL_MAX_UPLOAD_BYTES=5\n")
    ran = portal("doctor")
    assert not any(secret in ran.out for secret in secrets)
    shown: list[dict[str, Any]] = portal("doctor", "--json").json["settings"]
    by = {setting["name"]: setting for setting in shown}
    assert set(by) == {f"PORTAL_{field.upper()}" for field in Settings.model_fields}
    assert by["PORTAL_GRACE_SECONDS"] | {"name": ""} == {
        "name": "",
        "value": 7,
        "source": "the environment",
        "hides": ".env",
    }
    assert (by["PORTAL_MAX_UPLOAD_BYTES"]["value"], by["PORTAL_MAX_UPLOAD_BYTES"]["source"]) == (5, ".env")
    assert (by["PORTAL_ENV"]["value"], by["PORTAL_ENV"]["source"]) == ("development", "default")
    assert {by[name]["value"] for name in ("PORTAL_MASTER_KEY", "PORTAL_SECRET_KEY", "PORTAL_DATABASE_URL")} == {
        "(set)"
    }
    assert by["PORTAL_RATE_LIMIT_URL"]["value"] == "(not set)"
    assert "PORTAL_GRACE_SECONDS=7   (the environment, not .env)" in ran.out


def test_a_key_url_that_may_hold_a_key_is_not_shown(portal: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    fine = [
        "env:PORTAL_MASTER_KEY",
        "file:/a/key",
        "vault-transit://127.0.0.1/transit/portal",
        "pkcs11:token=a;object=b",
        "gcp-kms:projects/p/locations/l/keyRings/r/cryptoKeys/k",
        "azure-keyvault:https://a.managedhsm.azure.net/keys/k",
    ]
    bad = ["5c" * 32, f"env:{'5c' * 32}", f"vault-transit://{CANARY}@127.0.0.1/t/k", f"{CANARY}:x"]
    bad += [f"pkcs11:token=a;object=b?pin-value={CANARY}", f"gcp-kms:{CANARY}", f"azure-keyvault:{CANARY}"]
    monkeypatch.setenv("PORTAL_KEY_URLS", ",".join([*fine, *bad]))
    ran = portal("doctor")
    assert not any(secret in ran.out for secret in ("5c" * 32, CANARY))
    hidden = "(not shown),env:(not shown),vault-transit:(not shown),(not shown),pkcs11:(not shown),gcp-kms:(not shown)"
    hidden += ",azure-keyvault:(not shown)"
    assert f"PORTAL_KEY_URLS={','.join(fine)},{hidden} " in ran.out


def test_settings_that_are_refused_are_each_told(empty: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTAL_DEBUG", "perhaps")
    ran = empty("doctor")
    assert ran.code == 78
    assert "refused  settings: PORTAL_DEBUG:" in ran.out
    assert "refused  settings: PORTAL_MASTER_KEY is not set" in ran.out
    assert "PORTAL_DEBUG=perhaps" in ran.out
    assert "PORTAL_ENV=development" in ran.out
    assert list(empty.folder.iterdir()) == []


def test_it_makes_nothing(keyed: Shell) -> None:
    ran = keyed("doctor")
    assert ran.code == 78
    assert "refused  database: there is no database" in ran.out
    assert [path.name for path in keyed.folder.iterdir()] == [".env"]


AWAY = {
    "PORTAL_DATABASE_URL": (f"postgresql://u:{CANARY}@127.0.0.1:1/d", 69, "away     database: "),
    "PORTAL_RATE_LIMIT_URL": (f"redis://:{CANARY}@127.0.0.1:1/0", 69, "away     redis: "),
    "PORTAL_MASTER_KEY": (sha256(b"another").hexdigest(), 78, "refused  store, scanners and keys: the data keys"),
}


@pytest.mark.parametrize(("name", "value", "code", "told"), [(name, *row) for name, row in AWAY.items()], ids=AWAY)
def test_a_part_that_is_not_well_is_told_with_its_reason(
    portal: Shell, monkeypatch: pytest.MonkeyPatch, name: str, value: str, code: int, told: str
) -> None:
    portal.hand_in(b"content")
    monkeypatch.setenv(name, value)
    ran = portal("doctor")
    assert ran.code == code
    assert told in ran.out
    assert CANARY not in ran.out
    assert "nothing listens there" in ran.out or "wrapped under" in ran.out


def test_no_trusted_proxy_in_production_is_a_warning(portal: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"ENV": "production", "ALLOW_SQLITE": "true", "ALLOWED_HOSTS": "a.example"}.items():
        monkeypatch.setenv(f"PORTAL_{name}", value)
    assert parts(portal)["proxies"][0] == "warning"
    monkeypatch.setenv("PORTAL_TRUSTED_PROXIES", "10.0.0.1")
    assert parts(portal)["proxies"] == ("ok", "X-Forwarded-For is believed of 10.0.0.1")


def test_a_database_of_another_release_is_told(portal: Shell, tmp_path: Path) -> None:
    assert tmp_path.exists()
    portal.query("SELECT 1")
    (portal.folder / "var" / "portal.db").write_bytes(b"")
    found = parts(portal)["database"]
    assert found[0] == "refused"
    assert "at revision None, this release wants" in found[1]
