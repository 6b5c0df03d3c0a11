"""The programs of the page on receipts verify what the portal signs, and refuse what was changed."""

import json
import re
import subprocess
import sys
from pathlib import Path

import playwright
import pytest

from portal.crypto import ed25519
from portal.features.signing.documents import signed, thumbprint, to_base64url

PAGE = (Path(__file__).parents[2] / "docs/receipts.md").read_text()
NODE = Path(playwright.__file__).parent / "driver/node"
PROGRAMS = {"python": sys.executable, "js": str(NODE)}
PRIVATE = ed25519.new_private()
PAYLOAD = {
    "a": [1, {"b": None, "c": True}],
    "name": 'Stra\u00dfe \u2028 \U0001f600 "\\\n\u0001\u007f',
    "big": 2**53 - 1,
}


def jwk(private: bytes) -> dict[str, str]:
    return {"kty": "OKP", "crv": "Ed25519", "x": to_base64url(ed25519.public_of(private))}


def run(language: str, folder: Path, text: bytes, *keys: dict[str, str]) -> subprocess.CompletedProcess[bytes]:
    (code,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    (folder / "verify").write_text(code)
    (folder / "receipt.json").write_bytes(text)
    (folder / "keys.json").write_text(json.dumps({"keys": keys}))
    command = [PROGRAMS[language], "verify", "receipt.json", "keys.json"]
    return subprocess.run(command, cwd=folder, capture_output=True, check=False)


@pytest.mark.parametrize("language", PROGRAMS)
def test_a_program_of_the_page_verifies_a_document(language: str, tmp_path: Path) -> None:
    text = signed("test-document", PAYLOAD, PRIVATE)
    done = run(language, tmp_path, text + b"\n", jwk(ed25519.new_private()), jwk(PRIVATE))
    assert done.returncode == 0, done.stderr
    said = done.stdout.decode().partition(" ")
    assert said[0] == "test-document"
    assert json.loads(said[2]) == PAYLOAD


@pytest.mark.parametrize("language", PROGRAMS)
def test_a_program_of_the_page_refuses_a_changed_document(language: str, tmp_path: Path) -> None:
    text = signed("test-document", PAYLOAD, PRIVATE)
    for changed in (text.replace(b'"big":9', b'"big":8'), text.replace(b",", b", ", 1)):
        assert changed != text
        assert run(language, tmp_path, changed, jwk(PRIVATE)).returncode != 0


@pytest.mark.parametrize("language", PROGRAMS)
def test_a_program_of_the_page_trusts_no_other_key(language: str, tmp_path: Path) -> None:
    text = signed("test-document", PAYLOAD, PRIVATE)
    posing = jwk(ed25519.new_private()) | {"kid": thumbprint(ed25519.public_of(PRIVATE))}
    assert run(language, tmp_path, text, posing).returncode != 0


def test_the_programs_are_short() -> None:
    for language in PROGRAMS:
        (code,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
        assert len([line for line in code.splitlines() if line.strip()]) <= 20
