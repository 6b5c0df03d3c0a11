"""Clients as they come: those that offer another protocol with each request, and those that read only when they have
sent everything. Their bodies arrive whole, and they are told why they were refused.
"""

import http.client
import secrets
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import httpx
import pytest

from ..conftest import skip
from .conftest import Served

SIZES = [0, 100, 900, 5_000, 70_000, 300_000, 3_000_000]
REFUSED_BYTES = 60_000_000  # of a body that nobody may send
PATIENCE_SECONDS = 120
JAVA = """
import java.net.URI;
import java.net.http.*;
import java.nio.file.Path;

public class Put {
    public static void main(String[] given) throws Exception {
        var client = HttpClient.newHttpClient();
        for (int at = 2; at < given.length; at++) {
            var body = HttpRequest.BodyPublishers.ofFile(Path.of(given[at]));
            var request = HttpRequest.newBuilder(URI.create(given[0])).header("Authorization", given[1]).PUT(body);
            var answer = client.send(request.build(), HttpResponse.BodyHandlers.ofString());
            System.out.println(answer.statusCode() + " " + answer.body());
        }
    }
}
"""
NODE = """
const http = require("http"), fs = require("fs");
const [target, path] = process.argv.slice(-2);
const headers = {"Content-Length": fs.statSync(path).size};
const request = http.request(target, {method: "PUT", headers});
request.on("response", answer => { console.log(answer.statusCode); process.exit(0); });
request.on("error", error => { console.log(String(error)); process.exit(1); });
fs.createReadStream(path).pipe(request);
"""


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        skip(f"no {name}: install it")
    return found


def run(*command: str) -> str:
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS)
    return ran.stdout + ran.stderr


@pytest.fixture
def bodies(tmp_path: Path) -> list[Path]:
    """A file of each size."""
    paths = [tmp_path / f"{size}.bin" for size in SIZES]
    for path, size in zip(paths, SIZES, strict=True):
        path.write_bytes(secrets.token_bytes(size))
    return paths


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "large.bin"
    with path.open("wb") as file:
        file.truncate(REFUSED_BYTES)
    return path


def assert_whole(analyst: httpx.Client, path: Path, told: str) -> None:
    assert told.startswith("201 "), told
    entry = httpx.Response(201, content=told.removeprefix("201 ")).json()
    assert entry["sha256"] == sha256(path.read_bytes()).hexdigest()
    assert analyst.get(f"/files/{entry['id']}").json()["size"] == path.stat().st_size


def test_what_java_sends_is_whole(portal: Served, analyst: httpx.Client, bodies: list[Path], tmp_path: Path) -> None:
    """Its client offers HTTP/2 with the first request of each connection."""
    java = program("java")
    (tmp_path / "Put.java").write_text(JAVA)
    given = [f"{portal.url}/api/v1/upload/java.bin", analyst.headers["authorization"]]
    told = [run(java, str(tmp_path / "Put.java"), *given, str(path)).strip() for path in (bodies[1], bodies[-1])]
    told += run(java, str(tmp_path / "Put.java"), *given, *map(str, bodies)).splitlines()
    assert len(told) == 2 + len(bodies)
    for path, answer in zip([bodies[1], bodies[-1], *bodies], told, strict=True):
        assert_whole(analyst, path, answer)


def test_what_curl_sends_with_an_offer_of_http_2_is_whole(
    portal: Served, analyst: httpx.Client, bodies: list[Path], tmp_path: Path
) -> None:
    curl = program("curl")
    asked = ["-q", "-s", "--http2", "-H", f"Authorization: {analyst.headers['authorization']}"]
    told = ["-o", str(tmp_path / "told"), "-w", "%{http_version} %{http_code}"]
    for path in bodies:
        for expects in (["-H", "Expect:"], []):
            target = f"{portal.url}/api/v1/upload/{path.name}"
            assert run(curl, *asked, *expects, *told, "-T", str(path), target) == "1.1 201"
            assert_whole(analyst, path, f"201 {(tmp_path / 'told').read_text()}")


def by_http_client(portal: Served, path: Path) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", portal.port, timeout=PATIENCE_SECONDS)
    with path.open("rb") as file:
        connection.request("PUT", "/api/v1/upload/a.bin", file, {"Content-Length": str(REFUSED_BYTES)})
    status = str(connection.getresponse().status)
    connection.close()
    return status


def by_urllib(portal: Served, path: Path) -> str:
    asked = urllib.request.Request(f"{portal.url}/api/v1/upload/a.bin", path.read_bytes(), method="PUT")  # noqa: S310  # our own address
    try:
        with urllib.request.urlopen(asked, timeout=PATIENCE_SECONDS) as answer:  # noqa: S310  # our own address
            return str(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return str(error.code)


def by_wget(portal: Served, path: Path) -> str:
    asked = ["--method=PUT", f"--body-file={path}", "--tries=1", "-O", "-", f"{portal.url}/api/v1/upload/a.bin"]
    return run(program("wget"), *asked)


def by_node(portal: Served, path: Path) -> str:
    return run(program("node"), "-e", NODE, "-", f"{portal.url}/api/v1/upload/a.bin", str(path))


def by_curl(portal: Served, path: Path) -> str:
    return run(program("curl"), "-q", "-s", "-T", str(path), f"{portal.url}/api/v1/upload/a.bin")


CLIENTS: list[Callable[[Served, Path], str]] = [by_http_client, by_urllib, by_wget, by_node, by_curl]


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.__name__)
def test_a_client_that_is_refused_early_is_told_why(
    portal: Served, large: Path, client: Callable[[Served, Path], str]
) -> None:
    assert "401" in client(portal, large)
