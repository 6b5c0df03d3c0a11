"""Right tests for settings that are not refused yet, or not with a clear line: each fails until `src` is mended."""

from hashlib import sha256
from pathlib import Path

import pytest

from portal import config
from portal.bootstrap import open_resources
from portal.core.errors import ConfigError
from portal.db.engine import is_local, parse_url

KEYS = {f"PORTAL_{name}": sha256(name.encode()).hexdigest() for name in ("MASTER_KEY", "SECRET_KEY")}
NO_DOTENV = Path("/nonexistent/.env")
CANARY = "c4n4ry"


def refused(**variables: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        open_resources(*config.load(KEYS | {f"PORTAL_{name}": value for name, value in variables.items()}, NO_DOTENV))
    return caught.value.problems


@pytest.mark.parametrize("key", ["0" * 64, KEYS["PORTAL_SECRET_KEY"]], ids=["a pattern", "a secret key"])
def test_every_named_master_key_is_judged(tmp_path: Path, key: str) -> None:
    urls = "env:PORTAL_MASTER_KEY,env:PORTAL_OLD_KEY"
    (problem,) = refused(KEY_URLS=urls, OLD_KEY=key, DATA_DIR=str(tmp_path))
    assert "PORTAL_OLD_KEY" in problem


def test_a_key_url_without_a_variable_is_refused_by_name(tmp_path: Path) -> None:
    (problem,) = refused(KEY_URLS="env:", DATA_DIR=str(tmp_path))
    assert "PORTAL_KEY_URLS" in problem


def test_an_empty_file_variable_means_none() -> None:
    assert config.load({**KEYS, "PORTAL_DATABASE_URL_FILE": ""}, NO_DOTENV)[0].database_url.get_secret_value() == ""


def test_a_dotenv_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"PORTAL_DEBUG=\xff\n")
    with pytest.raises(ConfigError):
        config.load(KEYS, tmp_path / ".env")


def test_a_value_in_dotenv_is_taken_as_it_is_written(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PORTAL_DATABASE_URL=postgresql://u:a${HOME}b@h/d\n")
    settings, _ = config.load(KEYS, tmp_path / ".env")
    assert settings.database == "postgresql://u:a${HOME}b@h/d"


@pytest.mark.parametrize("url", [f"postgresql://u:{CANARY}@h:port/d", f"postgresql://u:{CANARY}@[::1/d"])
def test_a_database_url_with_a_port_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_url(url)
    assert CANARY not in str(caught.value)


def test_several_hosts_in_the_query_are_not_local() -> None:
    assert not is_local(parse_url("postgresql://u:p@/d?host=a.example.org&host=b.example.org"))


@pytest.mark.parametrize("option", ["sslmode=require", "pool=5"])
def test_an_option_that_the_driver_does_not_know_is_refused(option: str) -> None:
    with pytest.raises(ConfigError):
        parse_url(f"postgresql://u:{CANARY}@h/d?{option}")
