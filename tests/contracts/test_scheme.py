"""Settings that a backend declares: known to the portal, typed for the backend, and secret where it says so."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Self

import pytest
from pydantic import Field, SecretStr, model_validator
from pydantic.fields import FieldInfo

from portal import config
from portal.backends.blobs import registry as blobs
from portal.backends.blobs.base import BlobStore
from portal.backends.blobs.memory import MemoryStore
from portal.backends.keys import registry as keys
from portal.backends.keys.base import KeyProvider
from portal.backends.keys.local import LocalKeyProvider
from portal.backends.scheme import BackendSettings, Scheme, is_secret, problems_of
from portal.bootstrap import open_stores
from portal.core.errors import ConfigError
from portal.settings import Settings

from ..conftest import NO_DOTENV

KEYS = {"PORTAL_MASTER_KEY": bytes(range(32)).hex(), "PORTAL_SECRET_KEY": bytes(range(1, 33)).hex()}


class VaultSettings(BackendSettings):
    vault_token: SecretStr = Field(description="what the portal signs in with")
    vault_timeout_seconds: int = Field(5, ge=1, le=30, description="how long a call may take")


class BucketSettings(BackendSettings):
    bucket_region: str = Field("somewhere", description="where the bucket is")


class PairSettings(BackendSettings):
    pair_name: str = Field("", description="together with the secret")
    pair_secret: SecretStr = Field(SecretStr(""), description="together with the name")

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if bool(self.pair_name) != bool(self.pair_secret.get_secret_value()):
            raise ValueError("give both or none")
        return self


OPENED: list[tuple[str, BackendSettings]] = []


def open_vault(rest: str, variables: Mapping[str, str]) -> KeyProvider:
    OPENED.append((rest, VaultSettings.read(variables)))
    return LocalKeyProvider.random()


def open_bucket(rest: str, variables: Mapping[str, str]) -> BlobStore:
    OPENED.append((rest, BucketSettings.read(variables)))
    return MemoryStore()


@pytest.fixture(autouse=True)
def schemes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A key provider and a blob store, each one line in its registry."""
    monkeypatch.setitem(keys.SCHEMES, "vault", Scheme(open_vault, VaultSettings))
    monkeypatch.setitem(blobs.SCHEMES, "bucket", Scheme(open_bucket, BucketSettings))
    yield
    OPENED.clear()


def load(**variables: str) -> tuple[Settings, dict[str, str]]:
    return config.load({**KEYS, **{f"PORTAL_{name}": value for name, value in variables.items()}}, NO_DOTENV)


def refused(**variables: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        load(**variables)
    return tuple(caught.value.problems)


def test_a_backend_gets_what_it_declares_typed() -> None:
    _, variables = load(KEY_URLS="vault:transit/portal", VAULT_TOKEN="hvs.1", VAULT_TIMEOUT_SECONDS="7")
    keys.open_key_providers(["vault:transit/portal"], variables)
    ((rest, settings),) = OPENED
    assert rest == "transit/portal"
    assert settings == VaultSettings(vault_token=SecretStr("hvs.1"), vault_timeout_seconds=7)
    assert "hvs.1" not in repr(settings)


def test_a_blob_store_gets_its_own_without_any_key() -> None:
    environ = {"PORTAL_BLOB_URLS": "bucket:evidence", "PORTAL_BUCKET_REGION": "here"}
    open_stores(*config.load(environ, NO_DOTENV, keys=False))
    assert [("evidence", BucketSettings(bucket_region="here"))] == OPENED


def test_a_secret_comes_from_a_file_too(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("hvs.2\n")
    _, variables = load(KEY_URLS="vault:x", VAULT_TOKEN_FILE=str(path))
    assert VaultSettings.read(variables).vault_token.get_secret_value() == "hvs.2"
    assert "keep one" in refused_sources(VAULT_TOKEN_FILE=str(path), VAULT_TOKEN="hvs.1")


def refused_sources(**variables: str) -> str:
    return " ".join(refused(KEY_URLS="vault:x", **variables))


def test_what_is_missing_or_wrong_is_named_with_all_other_problems_and_never_shown() -> None:
    problems = refused(KEY_URLS="vault:x", VAULT_TIMEOUT_SECONDS="secret", MAX_UPLOAD_BYTES="0")
    assert {problem.partition(":")[0] for problem in problems} == {
        "PORTAL_VAULT_TOKEN",
        "PORTAL_VAULT_TIMEOUT_SECONDS",
        "PORTAL_MAX_UPLOAD_BYTES",
    }
    assert "secret" not in " ".join(problems)


def test_a_misspelt_setting_of_a_backend_stops_the_start() -> None:
    (problem,) = refused(KEY_URLS="vault:x", VAULT_TOKEN="hvs.1", VAULT_TOKENS="hvs.1")
    assert problem.startswith("PORTAL_VAULT_TOKENS is not a setting")
    assert "did you mean PORTAL_VAULT_TOKEN?" in problem


def test_settings_of_a_backend_that_is_not_in_use_are_known_and_not_wanted() -> None:
    load(VAULT_TIMEOUT_SECONDS="no number")
    assert {"PORTAL_VAULT_TOKEN", "PORTAL_VAULT_TIMEOUT_SECONDS", "PORTAL_BUCKET_REGION"} <= set(
        config.backend_settings()
    )


@pytest.mark.parametrize(("kind", "secret"), [(SecretStr, True), (SecretStr | None, True), (str, False), (int, False)])
def test_whether_a_setting_is_secret_is_said_by_its_type(kind: object, *, secret: bool) -> None:
    assert is_secret(FieldInfo(annotation=kind)) == secret  # type: ignore[arg-type]  # any annotation


def test_an_empty_value_means_the_default() -> None:
    assert BucketSettings.read({"PORTAL_BUCKET_REGION": ""}) == BucketSettings(bucket_region="somewhere")


def test_a_url_of_an_unknown_scheme_is_for_its_registry_to_refuse() -> None:
    assert problems_of(["nothing:", ""], keys.SCHEMES, {}) == ()


def test_settings_that_do_not_fit_together_are_named_all_of_them() -> None:
    with pytest.raises(ConfigError, match=r"^PORTAL_PAIR_NAME, PORTAL_PAIR_SECRET: .*give both or none"):
        PairSettings.read({"PORTAL_PAIR_NAME": "x"})


@pytest.mark.parametrize("url", ["/srv/evidence", "./evidence", "~/evidence"])
def test_a_folder_that_is_no_url_is_told_how_to_be_one(url: str) -> None:
    with pytest.raises(ConfigError, match="file:///absolute/path"):
        blobs.open_blob_stores([url], {})
