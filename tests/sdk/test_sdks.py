"""Five generators: each makes a client of the document, which is compiled and plays one whole session at a real portal.

Sign in, upload as a form (into the inbox and into a case) and as a body, list, read, download whole and a range, be
refused for another version, delete, be told of a file that is gone, in types. `sessions/` has what each says.
"""

import json
import shutil
from pathlib import Path

import pytest

from ..e2e.conftest import PASSWORD, Served
from .conftest import HERE, NODE_BIN, PYTHON_BIN, run, tool

SESSIONS = HERE / "sessions"


OPTIONS = {  # of each client that openapi-generator makes
    "python": {"packageName": "portal_client"},
    "typescript-fetch": {"importFileExtension": ".js"},
    "go": {"packageName": "portal", "withGoMod": False},
}


@pytest.fixture(scope="session")
def made(document: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the clients of openapi-generator, by language. It brings a Java of its own, which starts once."""
    folder = tmp_path_factory.mktemp("made")
    for language, options in OPTIONS.items():
        told = {"generatorName": language, "inputSpec": str(document), "outputDir": str(folder / language)}
        (folder / f"{language}.json").write_text(json.dumps(told | {"additionalProperties": options}))
    run(tool("openapi-generator-cli"), "batch", *(f"{language}.json" for language in OPTIONS), folder=folder)
    return folder


@pytest.fixture
def who(played: Served) -> tuple[str, str, str]:
    return played.url, "analyst", PASSWORD


def play_in_python(session: str, folder: Path, who: tuple[str, str, str]) -> None:
    python = str(PYTHON_BIN / "python")
    script = shutil.copy(SESSIONS / session, folder / "session.py")
    run(python, "-m", "compileall", "-q", "portal_client", folder=folder)
    assert run(python, str(script), *who, folder=folder) == "played\n"


def test_openapi_python_client(document: Path, tmp_path: Path, who: tuple[str, str, str]) -> None:
    command = [tool("openapi-python-client"), "generate", "--path", str(document), "--meta", "none"]
    told = run(*command, "--output-path", str(tmp_path / "portal_client"), "--fail-on-warning", folder=tmp_path)
    assert "WARNING" not in told.upper()
    play_in_python("openapi_python_client.py", tmp_path, who)


def test_openapi_generator_python(made: Path, tmp_path: Path, who: tuple[str, str, str]) -> None:
    shutil.copytree(made / "python" / "portal_client", tmp_path / "portal_client")
    play_in_python("openapi_generator.py", tmp_path, who)


@pytest.fixture
def typescript(tmp_path: Path) -> Path:
    """A folder in which TypeScript is strict. hey-api looks at it too."""
    options = {
        "strict": True,
        "skipLibCheck": True,  # TypeScript's own declarations, and Node's
        "target": "es2022",
        "module": "nodenext",
        "lib": ["es2022", "dom", "dom.iterable"],
        "types": ["node"],
        "typeRoots": [str(NODE_BIN.parent / "@types")],
        "outDir": "built",
        "rootDir": ".",
    }
    (tmp_path / "tsconfig.json").write_text(json.dumps({"compilerOptions": options, "files": ["session.ts"]}))
    (tmp_path / "package.json").write_text('{"type": "module"}')
    return tmp_path


def play_in_typescript(session: str, folder: Path, who: tuple[str, str, str]) -> None:
    """Compiled with its client: the types are those that the session means."""
    shutil.copy(SESSIONS / session, folder / "session.ts")
    run(tool("tsc"), "--project", ".", folder=folder)
    assert run(tool("node"), "built/session.js", *who, folder=folder) == "played\n"


def test_hey_api(document: Path, typescript: Path, who: tuple[str, str, str]) -> None:
    output = {"path": str(typescript / "portal_client"), "module": {"extension": ".js"}}
    how = {"input": str(document), "output": output, "plugins": ["@hey-api/client-fetch", "@hey-api/sdk"]}
    (typescript / "openapi-ts.config.mjs").write_text(f"export default {json.dumps(how)};")
    run(tool("openapi-ts"), folder=typescript)
    play_in_typescript("hey_api.ts", typescript, who)


def test_openapi_generator_typescript_fetch(made: Path, typescript: Path, who: tuple[str, str, str]) -> None:
    shutil.copytree(made / "typescript-fetch", typescript / "portal_client")
    play_in_typescript("typescript_fetch.ts", typescript, who)


def test_openapi_generator_go(made: Path, tmp_path: Path, who: tuple[str, str, str]) -> None:
    go = tool("go")
    session = Path(shutil.copytree(SESSIONS / "go", tmp_path / "session"))
    without_tests = shutil.ignore_patterns("test")  # they want a module of others
    shutil.copytree(made / "go", session / "client", ignore=without_tests)
    variables = {"GOFLAGS": "-mod=mod", "GOPROXY": "off", "GOTOOLCHAIN": "local", "CGO_ENABLED": "0"}
    run(go, "build", "-o", "play", ".", folder=session, **variables)
    assert run(str(session / "play"), *who, folder=session) == "played\n"
