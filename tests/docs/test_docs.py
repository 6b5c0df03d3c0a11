"""What an operator or developer must know is written down, and what is written down is true."""

import re
from collections.abc import Collection, Iterable, Mapping
from enum import StrEnum
from pathlib import Path

import pytest

import portal.app  # every error and feature is known once the door is
from portal.cli.program import COMMANDS, load
from portal.config import backend_settings
from portal.core import errors as core_errors
from portal.core.errors import PortalError
from portal.core.principal import Role
from portal.core.rates import BY_ADDRESS, DEFAULTS, RouteClass
from portal.features.audit.events import EventKind
from portal.features.authz import policy
from portal.features.authz.actions import Action
from portal.features.authz.relation import CaseRole, CaseStatus, RelationKind, Tlp
from portal.settings import Settings

ROOT = Path(portal.app.__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text()


def rows(text: str) -> list[list[str]]:
    """The cells of every table row."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]


def every_error() -> set[type[PortalError]]:
    found, todo = set(), [PortalError]
    while todo:
        kind = todo.pop()
        found.add(kind)
        todo.extend(kind.__subclasses__())
    return {kind for kind in found if kind.__module__.startswith("portal.")}


def test_every_setting_has_its_line_and_no_other() -> None:
    written = {row[0].strip("`") for row in rows(page("configuration.md")) if row[0].startswith("`PORTAL_")}
    assert written == {f"PORTAL_{name.upper()}" for name in Settings.model_fields} | set(backend_settings())


@pytest.mark.parametrize(
    "name", ["env", "registration", "max_upload_bytes", "grace_seconds", "data_key_days", "data_key_files"]
)
def test_the_defaults_that_are_written_down_are_the_ones_in_force(name: str) -> None:
    (written,) = [row[1].strip("`") for row in rows(page("configuration.md")) if row[0] == f"`PORTAL_{name.upper()}`"]
    assert written == str(Settings.model_fields[name].default)


@pytest.mark.parametrize("registry", ["keys", "blobs", "scanners"])
def test_every_uri_scheme_is_explained(registry: str) -> None:
    source = (ROOT / "src/portal/backends" / registry / "registry.py").read_text()
    schemes = re.findall(r'^    "([\w-]+)": ', source, re.MULTILINE)
    assert schemes
    for scheme in schemes:
        assert re.search(rf"^- `{scheme}:", page("configuration.md"), re.MULTILINE), scheme


def test_every_error_code_has_its_line_with_its_status() -> None:
    written = {(row[1].strip("`"), row[0]) for row in rows(page("errors.md")) if row[0].isdigit()}
    known = {(kind.code, str(kind.status)) for kind in every_error()} | {("method_not_allowed", "405")}
    assert written == known


def drawn(kind: type[PortalError], known: set[type[PortalError]], indent: str = "") -> list[str]:
    """The lines of a class and of all below it, as a directory tree is drawn."""
    below = sorted((one for one in kind.__subclasses__() if one in known), key=lambda one: (one.status, one.__name__))
    lines = [f"{kind.__name__} {kind.status} {kind.code}"] if not indent else []
    for one in below:
        last = one is below[-1]
        lines.append(f"{indent}{'└──' if last else '├──'} {one.__name__} {one.status} {one.code}")
        lines += drawn(one, known, indent + ("    " if last else "│   "))
    return lines


def test_the_tree_of_errors_that_is_drawn_is_the_one_that_there_is() -> None:
    lines = drawn(PortalError, every_error(), "")
    assert "\n".join(lines) in page("errors.md"), "\n".join(lines)


def test_the_errors_of_every_floor_are_drawn_where_they_stand() -> None:
    said = re.findall(r"^ +[│├└─ ]*(\w+) +(\d{3})  ", core_errors.__doc__ or "", re.MULTILINE)
    own = {kind for kind in every_error() if kind.__module__ == core_errors.__name__}
    assert sorted(said) == sorted((kind.__name__, str(kind.status)) for kind in own)


def test_every_audit_event_has_its_heading_and_no_other() -> None:
    assert set(re.findall(r"^## (\S+)$", page("audit.md"), re.MULTILINE)) == {kind.value for kind in EventKind}


def table(title: str, number: int = 0) -> tuple[list[str], dict[str, list[str]]]:
    """The header of a table under a heading of the access page, and its rows by their first cell."""
    section = page("access.md").split(f"## {title}\n")[1].split("\n## ")[0]
    tables = [rows(part) for part in section.split("\n\n") if part.lstrip().startswith("|")]
    header, _, *written = tables[number]
    return header[1:], {row[0]: row[1:] for row in written}


def marks(columns: Iterable[object], yes: Collection[object]) -> list[str]:
    return ["yes" if column in yes else "no" for column in columns]


@pytest.mark.parametrize(
    ("title", "number", "columns", "policies"),
    [
        ("Before there is an object", 0, Role, {action: action.rule.roles for action in Action}),
        ("Once there is one", 0, RelationKind, {action: action.rule.stands for action in Action}),
        ("What belongs to an account", 0, Role, {action: action.rule.on_others for action in Action}),
        ("The life of a case", 0, CaseStatus, policy.STATUS_TRANSITIONS),
        (
            "The life of a case",
            1,
            CaseStatus,
            {action: action.rule.statuses for action in Action if action.rule.stands},
        ),
    ],
)
def test_the_access_tables_are_the_policy(
    title: str, number: int, columns: type[StrEnum], policies: Mapping[StrEnum, Collection[StrEnum]]
) -> None:
    header, said = table(title, number)
    assert header == list(columns)
    assert said == {str(row): marks(columns, yes) for row, yes in policies.items() if yes}


def test_what_memberships_are_worth_is_the_policy() -> None:
    header, said = table("Members of a case")
    assert header == list(Role)
    assert said == {str(member): [policy.MEMBERSHIPS[role][member] for role in Role] for member in CaseRole}


def test_what_colours_allow_is_the_policy() -> None:
    header, said = table("Colours")
    assert header == ["links"]
    assert said == {str(tlp): marks([tlp], policy.SHAREABLE_TLP) for tlp in Tlp}


def test_the_rates_that_are_written_down_are_the_ones_in_force() -> None:
    written = {
        row[0].strip("`"): (row[2].strip("`"), row[3]) for row in rows(page("limits.md")) if row[0].startswith("`")
    }
    by = {kind: "address" if kind in BY_ADDRESS else "caller" for kind in RouteClass}
    assert written == {kind.value: (str(rate), by[kind]) for kind, rate in DEFAULTS.items()}


def test_every_command_is_in_the_readme() -> None:
    names = []
    for name in COMMANDS:
        below = getattr(load(name), "commands", None)
        names += [f"{name} {sub}" for sub in below] if below else [name]
    assert len(names) > 8
    for name in names:
        assert f"portal {name}" in README, name


def test_every_info_string_of_the_code_is_in_the_format() -> None:
    source = "".join(path.read_text() for path in (ROOT / "src/portal/crypto").glob("*.py"))
    infos = set(re.findall(r'b"(SFP1[^"]*)"', source))
    assert len(infos) >= 8
    for info in infos:
        assert f'"{info}' in page("format.md"), info


@pytest.mark.parametrize("path", sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]), ids=lambda p: p.name)
def test_every_relative_link_leads_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", path.read_text()):
        assert (path.parent / target).exists(), target


@pytest.mark.parametrize("room", ["cli", "features", "web", "strongbox", "keyring", "backends", "crypto", "db", "core"])
def test_the_architecture_page_knows_every_room(room: str) -> None:
    assert (ROOT / "src/portal" / room).is_dir()
    assert f"\n  {room}/" in page("architecture.md")


def test_every_page_that_the_code_names_is_there() -> None:
    texts = [path.read_text("utf-8") for top in ("src", "bench") for path in (ROOT / top).rglob("*.py")]
    named = {page for text in texts for page in re.findall(r"docs/[\w/-]+\.md", text)}
    assert {page for page in named if not (ROOT / page).is_file()} == set()
