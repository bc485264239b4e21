"""A headless Chromium that records what no reader wants: errors, and requests that leave the machine."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run", "--disable-dev-shm-usage",
)  # fmt: skip
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


def executable() -> str:
    """The browser; without one the test is skipped, except in CI, where it has to be there."""
    found = os.environ.get("CHROMIUM") or next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("CI has no Chromium: install Debian's package `chromium` before the tests")
        pytest.skip("there is no Chromium here (on Debian: apt-get install chromium)")
    return found


@dataclass
class Window:
    """One tab, and what went wrong in it."""

    page: Any
    errors: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)

    def failed(self, request: Any) -> None:
        # a page that is left before its icon is there: the browser calls that off itself
        left = request.failure == "net::ERR_ABORTED" and request.url.endswith("_static/touchstone.svg")
        if not left:
            self.errors.append(f"{request.url}: {request.failure}")

    def open(self, path: Path, fragment: str = "") -> Any:
        """Go to a page of the site, from the disk."""
        self.page.goto("about:blank")  # else another fragment of the same page would not load it anew
        self.page.goto(path.as_uri() + (f"#{fragment}" if fragment else ""), wait_until="load")
        return self.page

    def assert_clean(self) -> None:
        assert self.errors == []
        assert self.outside == []


@contextmanager
def launched() -> Iterator[Any]:
    """The browser itself."""
    path = executable()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=path, args=list(FLAGS))
        yield chromium
        chromium.close()


@contextmanager
def window(
    chromium: Any, *, size: dict[str, int] = DESKTOP, scheme: str = "light", script: bool = True
) -> Iterator[Window]:
    """A fresh tab; every request that is not for a file on this disk is refused and remembered.

    Requests for files are not even looked at: a browser takes an answer from a test for one from elsewhere.
    """
    context = chromium.new_context(viewport=size, color_scheme=scheme, java_script_enabled=script)
    made = Window(context.new_page())

    context.route(re.compile(r"^(?!file:|data:|blob:)"), lambda route: route.abort())
    made.page.on(
        "request",
        lambda r: None if r.url.startswith(("file:", "data:", "blob:")) else made.outside.append(r.url),
    )
    made.page.on("console", lambda m: made.errors.append(m.text) if m.type in ("error", "warning") else None)
    made.page.on("pageerror", lambda error: made.errors.append(str(error)))
    made.page.on("requestfailed", made.failed)
    yield made
    context.close()


def serious(page: Any) -> list[str]:
    """What axe-core finds serious or critical, with the elements concerned."""
    from axe_playwright_python.sync_playwright import Axe

    # rows that are filtered out are of no interest, but axe would walk through them, a tenth of a second each
    page.evaluate("document.querySelectorAll('tr[hidden]').forEach((row) => row.remove())")
    # without "preload" it would fetch the style sheets, which the browser refuses for files
    found = Axe().run(page, options={"preload": False}).response["violations"]
    return [
        f"{each['id']}: {each['help']}: {[node['html'][:120] for node in each['nodes'][:3]]}"
        for each in found
        if each["impact"] in ("serious", "critical")
    ]


def too_wide(page: Any) -> list[str]:
    """Elements beyond the right edge of the window, if the page scrolls sideways."""
    return page.evaluate(
        """() => {
            const width = document.documentElement.clientWidth;
            if (document.documentElement.scrollWidth <= width + 1) return [];
            return [...document.querySelectorAll('body *')]
                .filter((e) => e.getBoundingClientRect().right > width + 1)
                .slice(0, 5)
                .map((e) => e.tagName + '.' + e.className + ' ' + e.getBoundingClientRect().right);
        }"""
    )
