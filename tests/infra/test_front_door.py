"""Caddyfile, Dockerfile and docker-compose.yml, judged by the programs that read them."""

import json
import re
import subprocess
import sys
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
import yaml
from compose_spec.models import ComposeSpecification

from portal import config
from portal.backends.keys.registry import open_key_providers
from portal.cli import serve
from portal.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
OURS = ["migrate", "portal"]
EVERY = sorted(COMPOSE["services"])
WRITABLE = {  # volumes, and folders in memory
    "migrate": {"data:/data", "postgres-socket:/run/postgresql", "tmp"},
    "portal": {"data:/data", "postgres-socket:/run/postgresql", "redis-socket:/run/redis", "tmp"},
    "postgres": {"postgres:/var/lib/postgresql", "postgres-socket:/var/run/postgresql", "tmp"},
    "redis": {"redis-socket:/run/redis", "tmp", "data"},
    "caddy": {"caddy:/data", "tmp", "config"},
}


def run(program: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    found = Path(sys.executable).with_name(program)  # it comes with the development dependencies
    return subprocess.run(
        [str(found), *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


def test_caddy_accepts_the_caddyfile(tmp_path: Path) -> None:
    done = run("caddy", "validate", "--config", "Caddyfile", "--adapter", "caddyfile", HOME=str(tmp_path))
    assert done.returncode == 0, done.stderr


def test_the_caddyfile_is_written_as_caddy_writes_it(tmp_path: Path) -> None:
    assert run("caddy", "fmt", "Caddyfile", HOME=str(tmp_path)).stdout == (ROOT / "Caddyfile").read_text()


def test_hadolint_has_nothing_to_say() -> None:
    done = run("hadolint", "--no-color", "Dockerfile")
    assert (done.returncode, done.stdout) == (0, "")


def test_the_compose_file_follows_the_specification() -> None:
    assert set(ComposeSpecification.model_validate(COMPOSE).services or {}) == set(COMPOSE["services"])


def test_the_caddyfile_keeps_to_what_the_portal_does(tmp_path: Path) -> None:
    done = run("caddy", "adapt", "--config", "Caddyfile", "--adapter", "caddyfile", HOME=str(tmp_path))
    http = json.loads(done.stdout)["apps"]["http"]
    (server,) = http["servers"].values()
    (proxy,) = handlers(server, "reverse_proxy")
    (body,) = handlers(server, "request_body")
    defaults = {name: field.default for name, field in Settings.model_fields.items()}
    assert http["grace_period"] >= defaults["grace_seconds"] * 10**9
    assert body["max_size"] > defaults["max_upload_bytes"] + (1 << 20)  # a form's own room
    assert proxy["transport"]["keep_alive"]["idle_timeout"] < serve._KEEP_ALIVE_SECONDS * 10**9
    assert {"read_timeout", "write_timeout"}.isdisjoint(server)  # either would cut a long transfer off


def handlers(of: Any, kind: str) -> list[dict[str, Any]]:
    """Every handler of a kind, at whatever depth."""
    inside = of.values() if isinstance(of, dict) else of if isinstance(of, list) else []
    here = [of] if isinstance(of, dict) and of.get("handler") == kind else []
    return here + [found for value in inside for found in handlers(value, kind)]


@pytest.mark.parametrize("name", EVERY)
def test_no_container_can_do_more_than_it_has_to(name: str) -> None:
    service = COMPOSE["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert {"privileged", "devices", "pid", "ipc", "userns_mode"}.isdisjoint(service)
    assert service.get("network_mode", "none") == "none"
    assert set(service.get("cap_add", [])) <= {
        "caddy": {"NET_BIND_SERVICE"},
        "postgres": {"CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"},
    }.get(name, set())


@pytest.mark.parametrize("name", OURS)
def test_our_containers_are_run_by_nobody_in_particular(name: str) -> None:
    assert COMPOSE["services"][name]["user"] == "10001:10001"


@pytest.mark.parametrize("name", EVERY)
def test_little_is_writable_and_what_is_in_memory_runs_nothing(name: str) -> None:
    service = COMPOSE["services"][name]
    in_memory = [entry.partition(":")[::2] for entry in service["tmpfs"]]
    for _, options in in_memory:
        assert {"noexec", "nosuid", "nodev"} <= set(options.split(","))
        assert re.search(r"\bsize=\d+m\b", options)
    mounted = {volume for volume in service["volumes"] if not volume.endswith(":ro")}
    assert mounted | {folder.removeprefix("/") for folder, _ in in_memory} == WRITABLE[name]


@pytest.mark.parametrize("name", EVERY)
def test_every_secret_is_a_file(name: str) -> None:
    service = COMPOSE["services"][name]
    for variable, value in service.get("environment", {}).items():
        if re.search("PASSWORD|SECRET|KEY|DATABASE_URL", variable):
            assert variable.endswith("_FILE")
            assert value.removeprefix("/run/secrets/") in service["secrets"]
    assert all(set(secret) == {"file"} for secret in COMPOSE["secrets"].values())


def test_every_image_is_pinned_and_caddy_is_the_one_that_is_tested(tmp_path: Path) -> None:
    images = {name: service["image"] for name, service in COMPOSE["services"].items()}
    tested = run("caddy", "version", HOME=str(tmp_path)).stdout.split()[0].removeprefix("v")
    assert images["caddy"] == f"caddy:{tested}"
    bases = re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    for image in [*images.values(), *bases]:
        assert image == "portal:local" or re.search(r":\d+", image)


def test_a_stop_waits_longer_than_running_transfers() -> None:
    for name in ("portal", "caddy"):
        waits = int(COMPOSE["services"][name]["stop_grace_period"].removesuffix("s"))
        assert waits > Settings.model_fields["grace_seconds"].default


def test_a_migration_gets_no_key_and_the_portal_no_owner() -> None:
    services = COMPOSE["services"]
    assert services["migrate"]["secrets"] == ["owner_url"]
    assert services["portal"]["secrets"] == ["runtime_url", "master_key", "secret_key"]
    assert services["migrate"]["command"][-2:] == ["--runtime-role", "portal"]
    assert "CREATE ROLE portal LOGIN" in COMPOSE["configs"]["runtime_role"]["content"]


@pytest.mark.parametrize("name", OURS)
def test_the_portal_takes_the_settings_that_compose_gives(name: str, tmp_path: Path) -> None:
    script = ROOT / "compose-secrets.sh"
    subprocess.run(["sh", str(script), "--no-chown"], cwd=tmp_path, check=True)
    made = {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}
    assert set(made) == set(COMPOSE["secrets"])
    given = {}
    for variable, value in COMPOSE["services"][name]["environment"].items():
        given[variable] = re.sub(r"\$\{SITE_HOST:-localhost\}", "files.example.org", value).replace(
            "/run/secrets/", f"{tmp_path}/secrets/"
        )
    settings, _ = config.load(given, tmp_path / ".env", keys=name == "portal")
    user = {"migrate": "portal_owner", "portal": "portal"}[name]
    password = made[{"migrate": "owner_password", "portal": "runtime_password"}[name]].strip()
    assert settings.database == f"postgresql://{user}:{password}@/portal?host=/run/postgresql"
    assert settings.production
    assert "files.example.org" in settings.allowed_hosts


def test_what_the_page_on_keys_adds_to_compose_is_taken_too(tmp_path: Path) -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/keys.md").read_text(), re.DOTALL)
    added = yaml.safe_load(block)
    ComposeSpecification.model_validate(added)
    assert set(added["services"]["portal"]["networks"]) == set(added["networks"])
    assert set(added["services"]["portal"]["secrets"]) == set(added["secrets"])
    secret = tmp_path / "secret"
    secret.write_text("secret")
    given = added["services"]["portal"]["environment"] | {"PORTAL_SECRET_KEY": bytes(range(32)).hex()}
    given |= {"PORTAL_VAULT_SECRET_ID_FILE": str(secret)}
    settings, variables = config.load(given, tmp_path / ".env")
    assert open_key_providers(settings.key_urls, variables)[0].key_id == "vault-transit:transit/portal"


def test_secrets_are_made_once(tmp_path: Path) -> None:
    def make() -> dict[str, str]:
        subprocess.run(["sh", str(ROOT / "compose-secrets.sh"), "--no-chown"], cwd=tmp_path, check=True)
        return {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}

    first = make()
    (tmp_path / "secrets" / "secret_key").unlink()
    second = make()
    assert {name for name in first if first[name] != second[name]} == {"secret_key"}
    assert {path.stat().st_mode & 0o77 for path in (tmp_path / "secrets").iterdir()} == {0}


def test_no_variable_of_compose_is_one_that_the_portal_would_refuse() -> None:
    text = (ROOT / "docker-compose.yml").read_text() + (ROOT / "Caddyfile").read_text()
    asked = set(re.findall(r"\{?\$\{?([A-Z_]+)", text))
    given = {line.partition("=")[0] for line in (ROOT / "compose.env.example").read_text().splitlines() if "=" in line}
    assert {"SITE_HOST", "CADDY_UPSTREAM"} <= asked
    assert not any(name.startswith("PORTAL_") for name in asked)
    assert {name for name in given if not name.startswith("#")} <= asked
    assert ":?" not in text  # compose evaluates that for every command, `logs` and `down`, too


@pytest.mark.parametrize("name", EVERY)
def test_no_log_grows_for_ever(name: str) -> None:
    assert set(COMPOSE["services"][name]["logging"]["options"]) == {"max-size", "max-file"}


def test_the_image_parses_with_debians_libmagic() -> None:
    final = (ROOT / "Dockerfile").read_text().split("\nFROM ")[-1]
    assert "libmagic1" in final


def test_the_portal_believes_caddy_alone() -> None:
    caddy = ip_address(COMPOSE["services"]["caddy"]["networks"]["front"]["ipv4_address"])
    (pool,) = COMPOSE["networks"]["front"]["ipam"]["config"]
    assert caddy in ip_network(pool["subnet"])
    assert caddy not in ip_network(pool["ip_range"])  # from which the others get theirs
    assert COMPOSE["services"]["portal"]["environment"]["PORTAL_TRUSTED_PROXIES"] == str(caddy)


@pytest.mark.parametrize("name", OURS)
def test_our_containers_get_known_settings_and_no_secret_by_value(name: str) -> None:
    known = {f"PORTAL_{field.upper()}" for field in Settings.model_fields}
    for variable, value in COMPOSE["services"][name]["environment"].items():
        assert variable.removesuffix("_FILE") in known
        assert "KEY" not in variable or value.startswith("/run/secrets/")


def test_only_the_proxy_is_reachable_from_outside() -> None:
    assert [name for name, service in COMPOSE["services"].items() if "ports" in service] == ["caddy"]
    services = COMPOSE["services"]
    joined = {name: set(service.get("networks", ())) for name, service in services.items()}
    assert joined == {
        "migrate": set(),
        "portal": {"front"},
        "postgres": set(),
        "redis": set(),
        "caddy": {"front", "outside"},
    }
    assert {name for name in EVERY if not joined[name]} == {
        name for name in EVERY if services[name].get("network_mode") == "none"
    }
    assert COMPOSE["networks"]["front"]["internal"] is True  # the portal calls nobody
    assert services["caddy"]["ports"] == ["80:80", "443:443"]
