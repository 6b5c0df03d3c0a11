"""What the portal is built of: every package by its digest, none below a fixed version, all of them in the SBOM."""

import importlib
import json
import pkgutil
import re
import shutil
import subprocess
import sys
import tomllib
import types
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from jose import jwt
from jose.backends import ECKey, HMACKey, RSAKey

import portal

from ..conftest import skip

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES: list[dict[str, Any]] = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
LOCKED = {package["name"]: package for package in PACKAGES}

FIXED = {  # the first versions known to be without a flaw that the portal would reach
    "cryptography": ("50.0.2", "CVE-2026-39892"),
    "python-dotenv": ("1.2.4", "CVE-2026-28684"),
    "starlette": ("1.10", "CVE-2026-54283"),
}
HALF_PRIVATE = {  # what no changelog promises to keep
    "httptools": "web/connection.py puts a parser in its place",
    "sqlalchemy": "db/sqlite/ sends BEGIN below it, and has a cursor as dialects use them",
    "uvicorn": "web/connection.py overrides how its protocol begins a request",
}
UNUSED = ("ecdsa", "pyasn1", "rsa")  # python-jose names them and imports none where cryptography is installed


def numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def bounds(name: str) -> dict[str, str]:
    (line,) = [line for line in PROJECT["project"]["dependencies"] if re.split(r"[\[><=; ]", line)[0] == name]
    return dict(re.findall(r"(>=|<)([\d.]+)", line.partition(";")[0]))


def shipped(name: str = "portal", extras: tuple[str, ...] = ()) -> Iterator[str]:
    """Every package that the lock installs without development tools, on any platform."""
    yield name
    wanted = list(LOCKED[name].get("dependencies", []))
    for extra in extras:
        wanted += LOCKED[name]["optional-dependencies"][extra]
    for below in wanted:
        yield from shipped(below["name"], tuple(below.get("extra", ())))


@pytest.mark.parametrize("name", FIXED)
def test_no_version_with_a_known_flaw_may_be_installed_even_without_the_lock(name: str) -> None:
    version, flaw = FIXED[name]
    assert numbers(bounds(name)[">="]) >= numbers(version), flaw
    assert numbers(LOCKED[name]["version"]) >= numbers(version), flaw


@pytest.mark.parametrize("name", HALF_PRIVATE)
def test_a_library_whose_private_parts_are_used_is_bound_to_the_minor_version_that_was_tested(name: str) -> None:
    major, minor, *_ = numbers(LOCKED[name]["version"])
    assert bounds(name) == {">=": f"{major}.{minor}", "<": f"{major}.{minor + 1}"}


def portal_classes() -> Iterator[type]:
    for module in pkgutil.walk_packages(portal.__path__, "portal."):
        if not module.name.endswith("__main__"):
            found = vars(importlib.import_module(module.name)).values()
            yield from (item for item in found if isinstance(item, type) and item.__module__ == module.name)


def names_in(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from names_in(constant)


def private_names(class_: type) -> set[str]:
    """Those that it defines, and those that its methods ask for."""
    functions = [item for item in vars(class_).values() if isinstance(item, types.FunctionType)]
    named = {*vars(class_), *(name for function in functions for name in names_in(function.__code__))}
    return {name for name in named if re.match(r"_[a-z]", name) and name != "_abc_impl"}


def test_no_class_shares_a_private_name_with_one_of_a_library_that_is_not_bound() -> None:
    shared = {
        base.__module__.partition(".")[0]
        for class_ in portal_classes()
        for base in class_.__mro__[1:]
        if private_names(class_) & private_names(base)
    } - {"portal", *sys.stdlib_module_names}
    assert shared == {"uvicorn"}
    assert shared <= set(HALF_PRIVATE)


def test_every_package_of_the_lock_is_held_by_its_digest() -> None:
    for package in PACKAGES:
        if package["name"] != "portal":
            files = [*package.get("wheels", []), *([package["sdist"]] if "sdist" in package else [])]
            assert files
            assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", file["hash"]) for file in files), package["name"]


@pytest.mark.parametrize("name", UNUSED)
def test_what_python_jose_names_and_never_uses_is_not_shipped(name: str) -> None:
    assert name not in LOCKED
    assert find_spec(name) is None


def test_python_jose_signs_with_cryptography_alone() -> None:
    """CVE-2024-23342 of ecdsa is never mended, and never imported: not even where it lies beside."""
    assert {key.__module__ for key in (HMACKey, RSAKey, ECKey)} == {"jose.backends.cryptography_backend"}
    token = jwt.encode({"sub": "somebody"}, "k" * 32, algorithm="HS256")
    assert jwt.decode(token, "k" * 32, algorithms=["HS256"]) == {"sub": "somebody"}
    program = f"import sys, portal.app; print(sorted(set(sys.modules) & set({UNUSED})))"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"


def test_the_uv_that_is_fetched_is_held_by_its_digest() -> None:
    held = (ROOT / ".ci/uv.txt").read_text()
    assert re.search(r"^uv==[\d.]+ \\$", held, re.MULTILINE)
    assert len(re.findall(r"--hash=sha256:[0-9a-f]{64}\b", held)) >= 10
    for name in ("Makefile", "Dockerfile"):
        fetched = [line for line in (ROOT / name).read_text().splitlines() if "pip install" in line]
        assert fetched
        assert all(re.search(r"--require-hashes -r \S*uv\.txt\b", line) for line in fetched), name


def test_the_sbom_names_every_package_that_is_shipped(tmp_path: Path) -> None:
    uv = shutil.which("uv") or shutil.which(ROOT / ".uv/bin/uv")
    if uv is None:
        skip("no uv: `make install` fetches one")
    made = tmp_path / "sbom" / "portal.cdx.json"
    subprocess.run(["make", "sbom", f"SBOM={made}", f"UV={uv}"], cwd=ROOT, capture_output=True, check=True)
    sbom = json.loads(made.read_text())
    assert (sbom["bomFormat"], sbom["specVersion"]) == ("CycloneDX", "1.5")
    named = {(part["name"], part["version"]) for part in sbom["components"]}
    names = set(shipped(extras=tuple(PROJECT["project"]["optional-dependencies"]))) - {"portal"}
    assert "httpx" in names  # the image has the extras
    assert named == {(package["name"], package["version"]) for package in PACKAGES if package["name"] in names}
    assert ("cryptography", LOCKED["cryptography"]["version"]) in named
    assert "pytest" not in {name for name, _ in named}
