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

from portal.cli import serve
from portal.config import Settings

ROOT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
OURS = ["migrate", "portal"]
EVERY = sorted(COMPOSE["services"])
WRITABLE = {  # volumes, and folders in memory
    "migrate": {"data:/data", "tmp"},
    "portal": {"data:/data", "tmp"},
    "postgres": {"postgres:/var/lib/postgresql", "tmp", "var/run/postgresql"},
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
    assert {"privileged", "devices", "pid", "ipc", "network_mode", "userns_mode"}.isdisjoint(service)
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
    assert COMPOSE["networks"]["database"]["internal"] is True
    services = COMPOSE["services"]
    joined = {net: {name for name in EVERY if net in services[name]["networks"]} for net in COMPOSE["networks"]}
    assert joined == {"database": {"migrate", "portal", "postgres"}, "front": {"portal", "caddy"}}
    assert services["caddy"]["ports"] == ["80:80", "443:443"]
