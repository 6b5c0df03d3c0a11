"""Caddyfile, Dockerfile and docker-compose.yml, judged by the programs that read them."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from compose_spec.models import ComposeSpecification

from portal.config import Settings

ROOT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
OURS = ["migrate", "portal"]


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


@pytest.mark.parametrize("name", OURS)
def test_our_containers_can_do_little(name: str) -> None:
    service = COMPOSE["services"][name]
    assert service["user"] == "10001:10001"
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]


@pytest.mark.parametrize("name", OURS)
def test_our_containers_get_known_settings_and_no_secret_by_value(name: str) -> None:
    known = {f"PORTAL_{field.upper()}" for field in Settings.model_fields}
    for variable, value in COMPOSE["services"][name]["environment"].items():
        assert variable.removesuffix("_FILE") in known
        assert "KEY" not in variable or value.startswith("/run/secrets/")


def test_only_the_proxy_is_reachable_from_outside() -> None:
    assert [name for name, service in COMPOSE["services"].items() if "ports" in service] == ["caddy"]
    assert COMPOSE["networks"]["database"]["internal"] is True
