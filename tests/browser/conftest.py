"""A headless Chromium, and the report of the finished smoke run in it; skips where Chromium is missing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
# No service of the browser's own may look like a request of the page.
FLAGS = "--no-sandbox --disable-gpu --disable-background-networking --disable-component-update --disable-sync"
PHONE, DESKTOP = {"width": 390, "height": 844}, {"width": 1280, "height": 900}


@dataclass
class Opened:
    """A page, with its requests and its console messages and errors since it was opened."""

    page: Any
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """The browser; skips where Chromium or playwright is missing."""
    if CHROMIUM is None:
        pytest.skip(
            "Chromium is missing (Debian: apt install chromium); the page was not tested in a browser"
        )
    missing = "playwright is not installed; see envs/requirements-test.in"
    api = pytest.importorskip("playwright.sync_api", reason=missing)
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split())
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def report_file(chromium, smoke_run) -> Path:
    """report.html of the smoke run, which `chromium` comes before so that a skipped test computes nothing."""
    return smoke_run[0] / "reports/MS1_min_snr/smoke/report.html"


@pytest.fixture
def open_page(chromium) -> Iterator[Any]:
    """`open_page(file, size, theme)` opens a file from disk in a fresh context."""
    contexts = []

    def opened(file: Path, size: dict[str, int] | None = None, theme: str = "light") -> Opened:
        context = chromium.new_context(viewport=size or DESKTOP, color_scheme=theme, accept_downloads=True)
        contexts.append(context)
        result = Opened(context.new_page())
        result.page.on("request", lambda request: result.requests.append(request.url))
        result.page.on("console", lambda message: result.complaints.append(message.text))
        result.page.on("pageerror", lambda error: result.complaints.append(str(error)))
        result.page.goto(file.as_uri())
        return result

    yield opened
    for context in contexts:
        context.close()


@pytest.fixture
def desktop(open_page, report_file) -> Opened:
    """The smoke run's report, at desktop width."""
    return open_page(report_file)
