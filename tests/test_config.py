"""Settings: where they come from, what is refused, and that a refusal names everything and gives nothing away."""

import re
import shutil
from collections.abc import Mapping
from contextlib import aclosing, nullcontext
from hashlib import sha256
from pathlib import Path

import pytest

from portal import config, sources
from portal.backends.scanners.base import ScannerAway
from portal.backends.scanners.memory import MemoryScanner
from portal.bootstrap import open_portal, open_resources
from portal.core.errors import ConfigError
from portal.core.package_data import env_example
from portal.core.rates import DEFAULTS, Rate, RouteClass
from portal.keyring.keyring import KeyLimits
from portal.settings import Settings

from .conftest import NO_DOTENV

MASTER, SECRET, OLDER = (sha256(name.encode()).hexdigest() for name in ("master", "secret", "older"))
KEYS = {"MASTER_KEY": MASTER, "SECRET_KEY": SECRET}
PRODUCTION = {
    **KEYS,
    "ENV": "production",
    "ALLOWED_HOSTS": "files.example.org",
    "DATABASE_URL": "postgresql://portal:hunter2@db.example.org/portal",
}
SECRET_FIELDS = ("database_url", "master_key", "rate_limit_url", "secret_key")

BOTH = "env:PORTAL_MASTER_KEY,env:PORTAL_OLD_KEY"

RISKS: dict[str, tuple[str, dict[str, str]]] = {
    "no secret key": ("SECRET_KEY", {"SECRET_KEY": ""}),
    "a short secret key": ("SECRET_KEY", {"SECRET_KEY": SECRET[:62]}),
    "a long secret key": ("SECRET_KEY", {"SECRET_KEY": SECRET + "00"}),
    "one bad secret key among good ones": ("SECRET_KEY", {"SECRET_KEY": f"{SECRET},{OLDER[:40]}"}),
    "a known default": ("SECRET_KEY", {"SECRET_KEY": "changeme"}),
    "a known default, shouted": ("SECRET_KEY", {"SECRET_KEY": "CHANGE-ME"}),
    "a secret key of zeros": ("SECRET_KEY", {"SECRET_KEY": "0" * 64}),
    "a secret key that repeats": ("SECRET_KEY", {"SECRET_KEY": "0123456789abcd" * 4 + "01234567"}),
    "no master key": ("MASTER_KEY", {"MASTER_KEY": ""}),
    "a short master key": ("MASTER_KEY", {"MASTER_KEY": MASTER[:60]}),
    "a master key of ones": ("MASTER_KEY", {"MASTER_KEY": "f" * 64}),
    "one key for both": ("MASTER_KEY", {"MASTER_KEY": SECRET}),
    "another master key of zeros": ("OLD_KEY", {"KEY_URLS": BOTH, "OLD_KEY": "0" * 64}),
    "no other master key": ("OLD_KEY", {"KEY_URLS": BOTH}),
    "another master key that signs": ("OLD_KEY", {"KEY_URLS": BOTH, "OLD_KEY": SECRET}),
    "a key URL without a variable": ("KEY_URLS", {"KEY_URLS": "env:"}),
    "a master key that signed before": ("MASTER_KEY", {"MASTER_KEY": OLDER, "SECRET_KEY": f"{SECRET},{OLDER}"}),
    "debug": ("DEBUG", {"DEBUG": "true"}),
    "any host": ("ALLOWED_HOSTS", {"ALLOWED_HOSTS": "files.example.org,*"}),
    "no host": ("ALLOWED_HOSTS", {"ALLOWED_HOSTS": ""}),
    "this machine's own names, as init writes them": ("ALLOWED_HOSTS", {"ALLOWED_HOSTS": "localhost,127.0.0.1,[::1]"}),
    "a list of no hosts": ("ALLOWED_HOSTS", {"ALLOWED_HOSTS": " , "}),
    "any origin": ("CORS_ORIGINS", {"CORS_ORIGINS": "https://a.example,*"}),
    "SQLite": ("DATABASE_URL", {"DATABASE_URL": ""}),
    "SQLite by URL": ("DATABASE_URL", {"DATABASE_URL": "sqlite:////srv/portal.db"}),
    "no TLS to the database": ("DATABASE_SSL_MODE", {"DATABASE_SSL_MODE": "disable"}),
    "TLS to the database by chance": ("DATABASE_SSL_MODE", {"DATABASE_SSL_MODE": "prefer"}),
    "TLS to the database with any certificate": ("DATABASE_SSL_MODE", {"DATABASE_SSL_MODE": "require"}),
    "a Redis far away without TLS": ("RATE_LIMIT_URL", {"RATE_LIMIT_URL": "redis://:hunter2@redis.example.org/0"}),
    "proxies everywhere": ("TRUSTED_PROXIES", {"TRUSTED_PROXIES": "10.0.0.1,0.0.0.0/0"}),
    "proxies everywhere, of IPv6": ("TRUSTED_PROXIES", {"TRUSTED_PROXIES": "::/0"}),
    "keys in memory": ("KEY_URLS", {"KEY_URLS": "memory:"}),
    "blobs in memory": ("BLOB_URLS", {"BLOB_URLS": "memory:"}),
    "a scanner for tests": ("SCANNER_URLS", {"SCANNER_URLS": "none:,memory:marker"}),
}
EVERYWHERE = {name for name, (variable, _) in RISKS.items() if variable.endswith("_KEY")} | {
    "a key URL without a variable"
}
risks = pytest.mark.parametrize(("variable", "changes"), RISKS.values(), ids=RISKS)

NONSENSE = {
    "ENV": "staging",
    "DEBUG": "perhaps",
    "DATABASE_SSL_MODE": "sometimes",
    "DATABASE_URL": "mysql://u:p@h/d",
    "MAX_UPLOAD_BYTES": "0",
    "GRACE_SECONDS": "-1",
    "TRUSTED_PROXIES": "10.0.0.0/8,the proxy",
    "RATE_LIMITS": "upload=lots",
    "RATE_LIMIT_URL": "memcached://h:11211",
    "DOCS": "2",
}


def load(variables: Mapping[str, str] = KEYS, dotenv: Path = NO_DOTENV) -> Settings:
    return config.load({f"PORTAL_{name}": value for name, value in variables.items()}, dotenv)[0]


def refused(variables: Mapping[str, str], dotenv: Path = NO_DOTENV) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        load(variables, dotenv)
    assert all("\n" not in problem for problem in caught.value.problems)
    return caught.value.problems


def example_lines() -> dict[str, str]:
    lines = env_example().read_text("utf-8").splitlines()
    assigned = [line.partition("=")[::2] for line in lines if line and not line.startswith("#")]
    assert len({name for name, _ in assigned}) == len(assigned), "a setting has two lines"
    return dict(assigned)


def test_every_setting_has_a_line_in_the_example_and_every_line_is_a_setting() -> None:
    assert set(example_lines()) == {f"PORTAL_{name.upper()}" for name in Settings.model_fields}


def test_the_example_says_the_defaults_and_holds_no_key() -> None:
    assert {example_lines()[f"PORTAL_{name.upper()}"] for name in SECRET_FIELDS} == {""}
    settings = config.load({"PORTAL_MASTER_KEY": MASTER, "PORTAL_SECRET_KEY": SECRET}, env_example())[0]
    assert settings == load({**KEYS, "DATA_DIR": str(env_example().parent / "var")})  # beside the file, not the shell


def test_every_setting_says_what_it_is_for() -> None:
    assert all(field.description for field in Settings.model_fields.values())


def test_what_nobody_set_has_a_default() -> None:
    settings = load()
    assert (settings.env, settings.debug, settings.docs) == ("development", False, None)
    assert settings.max_upload_bytes == 64 * 1024**3
    assert settings.grace_seconds == 30
    assert settings.key_urls == ("env:PORTAL_MASTER_KEY",)
    assert settings.scanner_urls == ("none:",)
    assert (settings.database_ssl_mode, settings.ssl_mode) == (None, "prefer")
    assert (settings.cors_origins, settings.trusted_proxies, settings.log_file) == ((), (), None)


def test_secrets_have_no_default() -> None:
    problems = refused({})
    assert [problem.split()[0] for problem in problems] == ["PORTAL_SECRET_KEY", "PORTAL_MASTER_KEY"]


def test_database_and_blobs_rest_in_the_data_folder_unless_told(tmp_path: Path) -> None:
    settings = load({**KEYS, "DATA_DIR": str(tmp_path / "a b")})
    assert settings.database == f"sqlite:///{tmp_path}/a b/portal.db"
    assert settings.blobs == (f"file://{tmp_path}/a%20b/store",)
    told = load({**KEYS, "DATABASE_URL": "postgresql://h/d", "BLOB_URLS": "file:///srv/new, file:///srv/blobs"})
    assert (told.database, told.blobs) == ("postgresql://h/d", ("file:///srv/new", "file:///srv/blobs"))


@pytest.mark.parametrize(
    ("env", "docs", "served"),
    [
        ("development", "", True),
        ("development", "false", False),
        ("production", "", False),
        ("production", "true", True),
    ],
)
def test_docs_are_served_in_development_unless_told(env: str, docs: str, *, served: bool) -> None:
    assert load({**PRODUCTION, "ENV": env, "DOCS": docs}).serves_docs is served


def test_lists_are_written_with_commas() -> None:
    settings = load({**KEYS, "ALLOWED_HOSTS": " a.example , b.example,,", "CORS_ORIGINS": "https://a.example"})
    assert settings.allowed_hosts == ("a.example", "b.example")
    assert settings.cors_origins == ("https://a.example",)


def test_secret_keys_keep_their_order_newest_first() -> None:
    settings = load({**KEYS, "SECRET_KEY": f"{SECRET}, {OLDER}"})
    assert [key.reveal().hex() for key in settings.secret_keys] == [SECRET, OLDER]


def test_an_empty_value_means_the_default() -> None:
    empty = dict.fromkeys((name.upper() for name in Settings.model_fields), "")
    assert load({**empty, **KEYS}) == load()


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text(f"PORTAL_SECRET_KEY={SECRET}\nPORTAL_MASTER_KEY={MASTER}\nPORTAL_GRACE_SECONDS=7\nHOME=/x\n")
    assert load({}, dotenv).grace_seconds == 7
    assert load({"GRACE_SECONDS": "8"}, dotenv).grace_seconds == 8


@pytest.mark.parametrize("field", SECRET_FIELDS)
def test_every_secret_can_come_from_a_file(tmp_path: Path, field: str) -> None:
    value = {"database_url": "postgresql://u:p@h/d", "rate_limit_url": "rediss://:p@h:6379/0"}.get(field, OLDER)
    (tmp_path / "secret").write_text(f"{value}\n")
    rest = {name: text for name, text in KEYS.items() if name != field.upper()}
    settings = load({**rest, f"{field.upper()}_FILE": str(tmp_path / "secret")})
    assert getattr(settings, field).get_secret_value() == value


@pytest.mark.parametrize(
    "value", ["\ud800", "a\udcff", "a\0b"], ids=["a surrogate", "a byte that is no UTF-8", "a NUL"]
)
@pytest.mark.parametrize("name", ["DATA_DIR", "BLOB_URLS", "VAULT_CA", "NOTHING"])
def test_what_is_no_text_is_refused_by_the_name_of_its_setting(name: str, value: str) -> None:
    (problem,) = refused({**KEYS, name: value})
    assert problem == f"PORTAL_{name} in the environment is not UTF-8 text without NUL"


def test_a_secret_and_its_file_are_not_both_set(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(OLDER)
    (problem,) = refused({**KEYS, "SECRET_KEY_FILE": str(tmp_path / "secret")})
    assert "PORTAL_SECRET_KEY and PORTAL_SECRET_KEY_FILE" in problem
    assert SECRET not in problem
    assert OLDER not in problem


@pytest.mark.parametrize("content", [None, b"\xff\xfe not text"])
def test_a_secret_file_that_cannot_be_read_is_refused_by_name(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    (problem,) = refused({"MASTER_KEY": MASTER, "SECRET_KEY_FILE": str(path)})
    assert "PORTAL_SECRET_KEY_FILE" in problem


def test_an_empty_file_variable_means_none() -> None:
    assert load({**KEYS, "SECRET_KEY_FILE": ""}) == load()


def test_a_named_key_can_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(OLDER)
    given = {**KEYS, "KEY_URLS": BOTH, "OLD_KEY_FILE": str(tmp_path / "key")}
    assert config.load({f"PORTAL_{k}": v for k, v in given.items()}, NO_DOTENV)[1]["PORTAL_OLD_KEY"] == OLDER


def test_a_named_key_may_have_any_name() -> None:
    given = {"PORTAL_SECRET_KEY": SECRET, "PORTAL_KEY_URLS": "env:VAULT_KEY", "VAULT_KEY": OLDER, "VAULT": "x"}
    _, variables = config.load(given, NO_DOTENV)
    assert variables["VAULT_KEY"] == OLDER
    assert "VAULT" not in variables


def test_a_dotenv_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"PORTAL_DEBUG=\xff\n")
    (problem,) = refused(KEYS, tmp_path / ".env")
    assert str(tmp_path / ".env") in problem


def test_a_file_whose_name_no_file_can_have_is_refused() -> None:
    (problem,) = refused({"SECRET_KEY": SECRET, "MASTER_KEY_FILE": "a\0b"})
    assert problem.startswith("PORTAL_MASTER_KEY_FILE")


def test_a_value_in_dotenv_is_taken_as_it_is_written(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PORTAL_DATABASE_URL=postgresql://u:a${HOME}b@h/d\n")
    assert load(KEYS, tmp_path / ".env").database == "postgresql://u:a${HOME}b@h/d"


def test_the_log_file_is_no_file_of_a_secret(tmp_path: Path) -> None:
    path = tmp_path / "portal.log"
    path.write_text("a log line")
    assert load({**KEYS, "LOG_FILE": str(path)}).log_file == path


@pytest.mark.parametrize("name", ["SECRET_KEYS", "DEBUGG", "OLD_KEY", "secret_key"])
def test_a_variable_that_nothing_knows_stops_the_start_by_its_name(tmp_path: Path, name: str) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text(f"PORTAL_{name}=hunter2\n")
    for problems in (refused({**KEYS, name: "hunter2"}), refused(KEYS, dotenv)):
        (problem,) = problems
        assert problem.startswith(f"PORTAL_{name} is not a setting")
        assert "hunter2" not in problem


@pytest.mark.parametrize(("old", "new"), sources.RENAMED.items())
def test_the_old_name_of_a_setting_stops_the_start_with_the_new_one(old: str, new: str) -> None:
    (problem,) = refused({**KEYS, old.removeprefix("PORTAL_"): "1"})
    assert problem == f"{old} is now {new}: rename it in the environment"
    assert new.removeprefix("PORTAL_").lower() in Settings.model_fields
    assert old.removeprefix("PORTAL_").lower() not in Settings.model_fields


def test_every_unknown_variable_is_named_at_once() -> None:
    assert len(refused({**KEYS, "TYPO": "1", "OTHER_TYPO": "2"})) == 2


def test_a_variable_that_a_key_url_names_is_known() -> None:
    settings, variables = config.load(
        {
            "PORTAL_MASTER_KEY": MASTER,
            "PORTAL_SECRET_KEY": SECRET,
            "PORTAL_OLD_KEY": OLDER,
            "PORTAL_KEY_URLS": BOTH,
        },
        NO_DOTENV,
    )
    assert settings.key_urls == ("env:PORTAL_MASTER_KEY", "env:PORTAL_OLD_KEY")
    assert variables["PORTAL_OLD_KEY"] == OLDER


def test_variables_of_other_programs_are_none_of_our_business() -> None:
    assert "PATH" not in config.load({"PATH": "/bin", **{f"PORTAL_{k}": v for k, v in KEYS.items()}}, NO_DOTENV)[1]


@pytest.mark.parametrize(("name", "value"), NONSENSE.items(), ids=NONSENSE)
def test_nonsense_is_refused_in_one_line_by_its_name(name: str, value: str) -> None:
    (problem,) = refused({**KEYS, name: value})
    assert problem.startswith(f"PORTAL_{name}")


@pytest.mark.parametrize(
    ("name", "value"),
    [("MAX_UPLOAD_BYTES", str((1 << 44) + 1)), ("MAX_UPLOAD_BYTES", "64GiB"), ("GRACE_SECONDS", "3601")],
)
def test_bounds_hold_at_their_other_end_too(name: str, value: str) -> None:
    (problem,) = refused({**KEYS, name: value})
    assert problem.startswith(f"PORTAL_{name}")
    assert value not in problem


def test_all_nonsense_is_named_at_once() -> None:
    told = [problem.split(":")[0].split()[0] for problem in refused({**KEYS, **NONSENSE})]
    assert sorted(told) == sorted(f"PORTAL_{name}" for name in NONSENSE)


def test_unknown_names_nonsense_and_weak_keys_are_named_at_once() -> None:
    told = refused({**KEYS, "TYPO": "1", "DEBUG": "maybe", "SECRET_KEY": "short"})
    assert {problem.split(":")[0].split()[0] for problem in told} == {
        "PORTAL_TYPO",
        "PORTAL_DEBUG",
        "PORTAL_SECRET_KEY",
    }


def test_subdomains_may_be_allowed_in_production() -> None:
    assert load({**PRODUCTION, "ALLOWED_HOSTS": "*.example.org"}).allowed_hosts == ("*.example.org",)


def test_a_production_without_risks_starts() -> None:
    assert load(PRODUCTION).production


@risks
def test_production_refuses_each_risk_in_one_line(variable: str, changes: dict[str, str]) -> None:
    (problem,) = refused({**PRODUCTION, **changes})
    assert re.search(rf"\bPORTAL_{variable}\b", problem)


@pytest.mark.parametrize("name", sorted(set(RISKS) - EVERYWHERE))
def test_development_takes_the_risks_that_are_not_about_keys(name: str) -> None:
    load({**PRODUCTION, **RISKS[name][1], "ENV": "development"})


@pytest.mark.parametrize("name", sorted(EVERYWHERE))
def test_bad_keys_are_refused_in_development_too(name: str) -> None:
    assert len(refused({**PRODUCTION, **RISKS[name][1], "ENV": "development"})) == 1


def test_production_tells_every_risk_at_once() -> None:
    everything = {
        "ENV": "production",
        "SECRET_KEY": "changeme",
        "MASTER_KEY": "short",
        "DEBUG": "on",
        "ALLOWED_HOSTS": "*",
        "CORS_ORIGINS": "*",
        "SCANNER_URLS": "memory:x",
    }
    said = " ".join(problems := refused(everything))
    assert len(problems) == 7
    wanted = ("SECRET_KEY", "MASTER_KEY", "DEBUG", "ALLOWED_HOSTS", "CORS_ORIGINS", "DATABASE_URL", "SCANNER_URLS")
    assert all(f"PORTAL_{name}" in said for name in wanted)


def test_production_on_sqlite_is_allowed_where_it_is_said() -> None:
    assert load({**PRODUCTION, "DATABASE_URL": "", "DATABASE_SSL_MODE": "", "ALLOW_SQLITE": "true"}).production


@pytest.mark.parametrize(("mode", "used"), [("", "verify-full"), ("verify-ca", "verify-ca")])
def test_production_verifies_a_remote_database(mode: str, used: str) -> None:
    assert load({**PRODUCTION, "DATABASE_SSL_MODE": mode}).ssl_mode == used


def test_who_names_authorities_wants_them_asked() -> None:
    given = {**KEYS, "DATABASE_URL": "postgresql://h/d"}
    assert load(given).ssl_mode == "prefer"
    assert load({**given, "DATABASE_CA": "ca.pem"}).ssl_mode == "verify-full"
    assert load({**given, "DATABASE_CA": "ca.pem", "DATABASE_SSL_MODE": "require"}).ssl_mode == "require"


@pytest.mark.parametrize(
    "url", ["rediss://:p@redis.example.org/0", "redis://localhost", "redis://[::1]:6379", "unix:///r"]
)
def test_production_takes_a_redis_that_nobody_overhears(url: str) -> None:
    assert load({**PRODUCTION, "RATE_LIMIT_URL": url}).production


@pytest.mark.parametrize("option", ["ssl_cert_reqs=none", "db=1&ssl_check_hostname=false"])
def test_no_option_of_the_url_switches_verifying_off(option: str) -> None:
    (problem,) = refused({**KEYS, "RATE_LIMIT_URL": f"rediss://:{CANARY}@h?{option}"})
    assert problem.startswith("PORTAL_RATE_LIMIT_URL takes no ssl_ option")


@pytest.mark.parametrize(
    ("env", "subdomains", "told"),
    [
        ("development", "", None),
        ("production", "", "max-age=63072000; includeSubDomains"),
        ("production", "false", "max-age=63072000"),
    ],
)
def test_production_tells_browsers_to_use_tls_alone(env: str, subdomains: str, told: str | None) -> None:
    assert load({**PRODUCTION, "ENV": env, "HSTS_SUBDOMAINS": subdomains}).hsts == told


def test_a_migration_needs_no_key() -> None:
    url = {"PORTAL_DATABASE_URL": "postgresql://h/d"}
    assert config.load(url, NO_DOTENV, keys=False)[0].database == "postgresql://h/d"
    with pytest.raises(ConfigError, match="TYPO"):
        config.load({**url, "PORTAL_TYPO": "1"}, NO_DOTENV, keys=False)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p@localhost/d",
        "postgresql://u:p@127.0.0.1:5433/d",
        "postgresql://u:p@[::1]/d",
        "postgresql://u@/d?host=/run/postgresql",
        "postgresql:///d",
    ],
)
@pytest.mark.parametrize("mode", ["disable", "prefer"])
def test_production_wants_no_tls_within_one_machine(url: str, mode: str) -> None:
    assert load({**PRODUCTION, "DATABASE_URL": url, "DATABASE_SSL_MODE": mode}).production


def test_a_master_key_is_asked_for_only_where_a_key_url_names_it() -> None:
    assert load({"SECRET_KEY": SECRET, "KEY_URLS": "memory:"}).key_urls == ("memory:",)


FILES = {
    "a known default": ("changeme", "must be one random"),
    "a key of zeros": ("0" * 64, "must be one random"),
    "a key that signs": (SECRET, "must not be a PORTAL_SECRET_KEY"),
    "nothing": ("", "must be one random"),
}


@pytest.mark.parametrize(("text", "told"), FILES.values(), ids=FILES)
def test_a_weak_key_in_a_file_stops_the_start_by_its_path(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "master"
    path.touch(0o600)
    path.write_text(text)
    given = {"SECRET_KEY": SECRET, "KEY_URLS": f"{path.as_uri()},env:PORTAL_OLD_KEY"}
    in_variable, in_file = refused(given)
    assert in_file.startswith(f"{path.as_uri()} {told}")
    assert in_variable.startswith("PORTAL_OLD_KEY is not set")
    path.write_text(MASTER)
    assert load({**given, "OLD_KEY": OLDER}).key_urls[0] == path.as_uri()


def test_a_key_file_that_others_can_read_stops_the_start_with_every_other_problem(tmp_path: Path) -> None:
    path = tmp_path / "master"
    path.write_text(MASTER)
    path.chmod(0o640)
    problems = refused({"SECRET_KEY": SECRET, "KEY_URLS": f"file:{path}", "GRACE_SECONDS": "-1"})
    assert any("has mode 0640" in problem for problem in problems)
    assert any(problem.startswith("PORTAL_GRACE_SECONDS") for problem in problems)


CANARY = "c4n4ry"
LEAKS: dict[str, dict[str, str]] = {
    "a secret key that is none": {"SECRET_KEY": CANARY},
    "a master key that is none": {"MASTER_KEY": CANARY},
    "one key for both": {"SECRET_KEY": MASTER},
    "a database of another kind": {"DATABASE_URL": f"mysql://u:{CANARY}@h/d"},
    "a database URL that is none": {"DATABASE_URL": f"{CANARY} at the database"},
    "another master key that is none": {"KEY_URLS": BOTH, "OLD_KEY": CANARY},
    "a database at a port that is none": {"DATABASE_URL": f"postgresql://u:{CANARY}@h:port/d"},
    "a database with an unknown option": {"DATABASE_URL": f"postgresql://u:{CANARY}@h/d?sslmode=require"},
    "a database far away": {"DATABASE_URL": f"postgresql://u:{CANARY}@h/d", "ENV": "production"},
    "an unknown variable": {"PASSWORD": CANARY},
    "a secret beside nonsense": {"DATABASE_URL": f"postgresql://u:{CANARY}@h/d", "DEBUG": "perhaps"},
}


@pytest.mark.parametrize("changes", LEAKS.values(), ids=LEAKS)
def test_no_refusal_shows_a_secret(changes: dict[str, str]) -> None:
    said = " ".join(refused({**KEYS, **changes}))
    assert not any(secret in said for secret in (CANARY, MASTER, SECRET))


def test_settings_do_not_show_their_secrets() -> None:
    urls = {"DATABASE_URL": f"postgresql://u:{CANARY}@h/d", "RATE_LIMIT_URL": f"redis://:{CANARY}@h"}
    settings = load({**KEYS, **urls})
    shown = repr(settings) + str(settings) + f"{settings.secret_keys}" + settings.model_dump_json()
    assert not any(secret in shown for secret in (CANARY, MASTER, SECRET, bytes.fromhex(SECRET).decode("latin-1")))


def test_rates_are_said_in_one_setting_and_the_rest_stays() -> None:
    assert load().rates == DEFAULTS
    said = load({**KEYS, "RATE_LIMITS": "sign_in=10/minute, read=off"}).rates
    assert said == {**DEFAULTS, RouteClass.SIGN_IN: Rate(10, "minute"), RouteClass.READ: None}


@pytest.mark.parametrize("url", [f"http://:{CANARY}@h", CANARY, f"redis:{CANARY}", f"memory://{CANARY}"])
def test_a_store_of_rates_that_nothing_knows_is_refused_and_not_shown(url: str) -> None:
    (problem,) = refused({**KEYS, "RATE_LIMIT_URL": url})
    assert problem == "PORTAL_RATE_LIMIT_URL must be a redis:, rediss: or unix: URL"


def test_settings_do_not_change() -> None:
    settings = load()
    with pytest.raises(ValueError, match="frozen"):
        settings.debug = True  # type: ignore[misc]  # the claim


QUARANTINE = {"SCANNER_AWAY": "quarantine"}
UNKNOWN = {
    "KEY_URLS": ["vault:transit", "MASTER_KEY", ","],
    "BLOB_URLS": ["s3://bucket", "file://host/blobs", "file:blobs", "/srv/blobs"],
    "SCANNER_URLS": ["clamd://scanner", "memory:", "nothing", ","],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in UNKNOWN.items() for value in values])
def test_a_uri_that_nothing_knows_stops_the_start_in_one_line(tmp_path: Path, name: str, value: str) -> None:
    settings, variables = config.load(
        {f"PORTAL_{k}": v for k, v in {**KEYS, name: value, "DATA_DIR": str(tmp_path)}.items()}, NO_DOTENV
    )
    with pytest.raises(ConfigError) as caught:
        open_resources(settings, variables)
    (problem,) = caught.value.problems
    assert problem.startswith(f"PORTAL_{name}")
    assert "\n" not in problem


@pytest.mark.parametrize(("said", "required"), [({}, True), ({"SCANNER_AWAY": "refuse"}, True), (QUARANTINE, False)])
def test_what_a_scanner_that_is_away_means_is_a_setting(
    tmp_path: Path, said: dict[str, str], *, required: bool
) -> None:
    given = {**KEYS, **said, "DATA_DIR": str(tmp_path)}
    settings, variables = config.load({f"PORTAL_{k}": v for k, v in given.items()}, NO_DOTENV)
    assert open_resources(settings, variables).scan_required is required


@pytest.mark.parametrize("said", [{}, QUARANTINE], ids=["refuse", "quarantine"])
async def test_a_scanner_that_is_away_stops_the_start_only_where_a_scan_is_required(
    tmp_path: Path, sqlite_template: Path, monkeypatch: pytest.MonkeyPatch, said: dict[str, str]
) -> None:
    async def away(_: MemoryScanner) -> None:
        raise ScannerAway

    monkeypatch.setattr(MemoryScanner, "check", away)
    shutil.copyfile(sqlite_template, tmp_path / "portal.db")
    given = {**KEYS, **said, "DATA_DIR": str(tmp_path), "SCANNER_URLS": "memory:x"}
    settings, variables = config.load({f"PORTAL_{k}": v for k, v in given.items()}, NO_DOTENV)
    async with aclosing(open_resources(settings, variables)) as resources:
        await resources.stores.establish(resources.database)
    with nullcontext() if said else pytest.raises(ScannerAway):
        async with open_portal(settings, variables) as portal:
            assert any("a scanner is unavailable" in warning for warning in portal.warnings)


def test_a_master_key_named_twice_stops_the_start(tmp_path: Path) -> None:
    given = {**KEYS, "KEY_URLS": "env:PORTAL_MASTER_KEY,env:PORTAL_AGAIN", "DATA_DIR": str(tmp_path), "AGAIN": MASTER}
    settings, variables = config.load({f"PORTAL_{k}": v for k, v in given.items()}, NO_DOTENV)
    with pytest.raises(ConfigError, match="same master key twice"):
        open_resources(settings, variables)


def test_a_data_folder_that_cannot_be_made_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    settings, variables = config.load(
        {f"PORTAL_{k}": v for k, v in {**KEYS, "DATA_DIR": str(tmp_path / "file" / "var")}.items()}, NO_DOTENV
    )
    with pytest.raises(ConfigError, match=r"PORTAL_DATA_DIR: .*cannot be made"):
        open_resources(settings, variables)


async def test_the_age_of_data_keys_is_a_setting(tmp_path: Path) -> None:
    given = {**KEYS, "DATA_DIR": str(tmp_path), "DATA_KEY_DAYS": "7", "DATA_KEY_FILES": "5000"}
    async with aclosing(
        open_resources(*config.load({f"PORTAL_{k}": v for k, v in given.items()}, NO_DOTENV))
    ) as opened:
        assert opened.keyring._limits == KeyLimits(days=7, files=5000)


async def test_resources_do_not_show_the_keys(tmp_path: Path) -> None:
    settings, variables = config.load(
        {f"PORTAL_{k}": v for k, v in {**KEYS, "DATA_DIR": str(tmp_path)}.items()}, NO_DOTENV
    )
    resources = open_resources(settings, variables)
    try:
        assert not any(secret in repr(resources) for secret in (MASTER, SECRET))
    finally:
        await resources.aclose()


def test_the_data_folder_is_made_for_the_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "var"
    open_resources(*config.load({f"PORTAL_{k}": v for k, v in {**KEYS, "DATA_DIR": str(folder)}.items()}, NO_DOTENV))
    assert folder.stat().st_mode & 0o777 == 0o700
