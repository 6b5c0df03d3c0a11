"""The page about keys: what it tells an operator to type makes what the portal takes."""

import asyncio
import os
import shutil
import subprocess
from pathlib import Path

from portal.backends.keys import guarded
from portal.backends.keys.base import KeyProvider
from portal.backends.keys.registry import open_key_providers

from ..conftest import skip
from ..own_softhsm import OFFICER_PIN, PIN, OwnSoftHsm

PAGE = (Path(__file__).parents[2] / "docs/keys.md").read_text()


def block(title: str, number: int = 0) -> str:
    """A block of commands or settings under a heading of the page."""
    section = PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]
    return section.split("```sh\n")[1 + number].split("```")[0]


TOKEN = "made as the page says"  # the token of all tests has the page's name


def test_a_token_and_a_key_are_made_as_the_page_says(softhsm: OwnSoftHsm) -> None:
    if shutil.which("pkcs11-tool") is None:
        skip("no pkcs11-tool: install opensc, or let .ci/run do it")
    module, variables = str(softhsm.module), {"OFFICER_PIN": OFFICER_PIN, "PORTAL_PKCS11_PIN": PIN}
    commands = block("An HSM").replace("portal", f"'{TOKEN}'").replace("/usr/lib/softhsm/libsofthsm2.so", module)
    subprocess.run(["bash", "-euc", commands], env=os.environ | variables, check=True, capture_output=True)
    settings = dict(line.split("=", 1) for line in block("An HSM", 1).splitlines())
    url = settings["PORTAL_KEY_URLS"].replace("portal", TOKEN.replace(" ", "%20"))
    (provider,) = open_key_providers([url], variables | {"PORTAL_PKCS11_MODULE": module})
    asyncio.run(checked(provider))


async def checked(provider: KeyProvider) -> None:
    await provider.check()
    await provider.aclose()


def test_the_bound_on_ivs_is_as_far_away_as_the_page_says() -> None:
    checks = 365 * 86_400 / guarded.CHECK_SECONDS
    assert "a thousand workers for a year" in PAGE
    assert 2**32 / checks > 1000
