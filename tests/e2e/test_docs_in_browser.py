"""Swagger UI in a real Chromium: sign in, hand in both ways, list, download; all of it our own, no policy broken."""

import json
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import ConsoleMessage, Locator, Page, sync_playwright

from ..conftest import skip
from .conftest import PASSWORD, Served

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
WATCH = "document.addEventListener('securitypolicyviolation', e => console.error('policy', e.violatedDirective))"


def chromium() -> str:
    named = os.environ.get("PORTAL_TEST_CHROMIUM")
    for path in (named, "/usr/bin/chromium", shutil.which("chromium")):
        if path and Path(path).exists():
            return path
    skip("no Chromium: set PORTAL_TEST_CHROMIUM or install chromium")
    raise AssertionError


class Watched:
    """A page, and everything it asked for or complained about."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.asked: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.add_init_script(WATCH)

    def _hear(self, line: ConsoleMessage) -> None:
        if line.type in {"error", "warning"}:
            self.complaints.append(line.text)


@pytest.fixture
def watched() -> Iterator[Watched]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        yield Watched(browser.new_page(viewport={"width": 1200, "height": 1600}))
        browser.close()


def sign_in(page: Page, name: str) -> None:
    page.click(".btn.authorize")
    form = page.locator(".auth-container", has=page.locator("#oauth_username"))
    assert page.locator(".auth-container h4").all_inner_texts()[0].startswith("bearer")
    assert page.locator(".modal-ux-content").evaluate("dialog => dialog.scrollTop") == 0  # nothing pulls it elsewhere
    for nothing in (".scopes", "#password_type", "#client_id_password", "#client_secret_password"):
        assert not form.locator(nothing).first.is_visible()
    page.fill("#oauth_username", name)
    page.fill("#oauth_password", PASSWORD)
    form.locator("button.authorize").click()
    page.locator(".auth-container button", has_text="Logout").wait_for()
    page.click("button.btn-done")


def opened(page: Page, operation: str) -> Locator:
    found = page.locator(f"#operations-files-{operation}")
    if not found.is_visible():  # at first every tag is closed
        page.click("#operations-tag-files")
    found.locator(".opblock-summary-control").click()
    found.locator("button.execute").wait_for()
    return found


def executed(operation: Locator) -> int:
    operation.locator("button.execute").click()
    status = operation.locator(".live-responses-table .response-col_status").last
    status.wait_for()
    return int(status.inner_text().split()[0])


def answered(operation: Locator) -> Any:
    body = operation.locator(".live-responses-table .highlight-code code, .live-responses-table .microlight").first
    return json.loads(body.inner_text())


def test_swagger_ui_signs_in_hands_in_both_ways_lists_and_downloads(
    portal: Served, watched: Watched, tmp_path: Path
) -> None:
    content = secrets.token_bytes(100_000)
    picked = tmp_path / "picked.bin"
    picked.write_bytes(content)
    page = watched.page
    page.goto(portal.url)
    assert page.url == f"{portal.url}/docs"
    page.locator(".opblock-tag").first.wait_for()
    assert [tag.split()[0] for tag in page.locator(".opblock-tag").all_inner_texts()][:3] == ["auth", "files", "cases"]
    assert page.locator(".opblock").count() == page.locator("section.models").count() == 0
    assert page.locator(".operation-filter-input").is_visible()
    sign_in(page, "analyst")

    form = opened(page, "upload_file")
    form.locator("input[type=file]").set_input_files(picked)
    form.locator("[data-property-name=sha256] input[type=text]").fill("")
    form.locator("[data-property-name=description] input[type=text]").fill("by browser")
    assert executed(form) == 201
    first = answered(form)
    assert (first["name"], first["size"], first["description"]) == ("picked.bin", len(content), "by browser")

    raw = opened(page, "upload_raw")
    raw.get_by_placeholder("filename").fill("raw evidence.bin")
    raw.locator("input[type=file]").set_input_files(picked)
    assert executed(raw) == 201
    second = answered(raw)
    assert (second["name"], second["sha256"]) == ("raw evidence.bin", first["sha256"])

    listing = opened(page, "list_files")
    assert executed(listing) == 200
    assert [item["id"] for item in answered(listing)["items"]][:2] == [second["id"], first["id"]]

    download = opened(page, "download_file")
    download.get_by_placeholder("file_id").fill(second["id"])
    download.get_by_placeholder("Range", exact=True).fill("")
    assert executed(download) == 200
    with page.expect_download() as saving:
        download.get_by_text("Download file").click()
    assert saving.value.suggested_filename == "raw evidence.bin"
    assert Path(saving.value.path()).read_bytes() == content

    download.scroll_into_view_if_needed()
    page.screenshot(path=tmp_path / "docs.png")
    assert (tmp_path / "docs.png").stat().st_size > 10_000
    assert watched.complaints == []
    assert [url for url in watched.asked if not url.startswith((portal.url, "data:", f"blob:{portal.url}"))] == []
