"""A JupyterLab of our own, and a browser in it."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..site.browser import DESKTOP, launched

SETTINGS = {
    # what is not on the screen is drawn all the same, so that a test finds it
    "notebook-extension/tracker": {"windowingMode": "none"},
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}

# JupyterLab's own complaint where a kernel ends before it was asked about
IGNORED = ("Could not restore the debugger state",)


@dataclass
class Lab:
    """An open JupyterLab, and what went wrong in it."""

    page: Any
    folder: Path
    errors: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)

    def said(self, message: Any) -> None:
        if message.type == "error" and not message.text.startswith(IGNORED):
            self.errors.append(message.text)

    def command(self, name: str, **arguments: Any) -> Any:
        """Have JupyterLab carry out a command, and wait for its end."""
        return self.page.evaluate(
            "([name, arguments]) => jupyterapp.commands.execute(name, arguments).then((x) => x === true)",
            [name, arguments],
        )

    def run(self, name: str) -> float:
        """Open the notebook, run all of its cells; the seconds that took. Fails where a cell does."""
        self.command("docmanager:open", path=name)
        self.page.wait_for_function("jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel")
        start = time.monotonic()
        done = self.command("notebook:run-all-cells")
        assert done, self.page.locator(".jp-Notebook .jp-RenderedText").all_inner_texts()[-1:]
        return time.monotonic() - start

    def panels(self) -> list[Any]:
        """What ``explore`` left in the notebook: sliders with a picture below."""
        found = self.page.locator(".jp-OutputArea-output:has(.widget-slider)")
        found.first.wait_for(timeout=30_000)
        return found.all()

    def slide(self, panel: Any, number: int = 0) -> float:
        """Move a slider of the panel to its end by the keyboard; the seconds until the picture is another."""
        picture = panel.locator(".widget-html-content svg").first
        picture.wait_for(timeout=30_000)
        before = picture.inner_html()
        handle = panel.locator(".noUi-handle").nth(number)
        handle.scroll_into_view_if_needed()
        handle.focus()
        value = handle.get_attribute("aria-valuetext")
        start = time.monotonic()
        for key in ("End", "Home"):  # one of them moves it, wherever it stood
            handle.press(key)
            if handle.get_attribute("aria-valuetext") != value:
                break
        while picture.inner_html() == before:
            assert time.monotonic() - start < 30, f"{panel.inner_text()}: the picture did not change"
            self.page.wait_for_timeout(20)
        return time.monotonic() - start

    def close_notebook(self) -> None:
        self.page.evaluate(
            "async () => { const w = jupyterapp.shell.currentWidget; await w.sessionContext.shutdown(); "
            "w.context.model.dirty = false; w.dispose(); }"
        )

    def assert_clean(self) -> None:
        assert self.errors == []
        assert self.outside == []


@contextmanager
def jupyterlab(folder: Path) -> Iterator[Lab]:
    """JupyterLab on the notebooks of ``folder/notebooks``, in a headless Chromium; it sees nothing else."""
    root, settings = folder / "notebooks", folder / "settings"
    root.mkdir(parents=True, exist_ok=True)
    for name, values in SETTINGS.items():
        file = settings / f"@jupyterlab/{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values))
    token, port = secrets.token_hex(16), _free_port()
    address = f"http://127.0.0.1:{port}"
    environment = os.environ | {
        "JUPYTERLAB_SETTINGS_DIR": str(settings),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "IPYTHONDIR": str(folder / "ipython"),
        "TOUCHSTONE_OUTPUT": str(folder / "artefacts"),
        "OPENBLAS_NUM_THREADS": "1",
    }
    log = (folder / "server.log").open("w")
    options = (
        "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0", f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={root}",
        "--LabApp.expose_app_in_browser=True", "--LabApp.news_url=", "--ServerApp.quit_button=False",
    )  # fmt: skip
    server = subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", *options], env=environment, stdout=log, stderr=log, cwd=folder
    )
    try:
        _wait(server, f"{address}/api/status?token={token}", folder / "server.log")
        with launched() as chromium:
            context = chromium.new_context(viewport=DESKTOP)
            made = Lab(context.new_page(), root)

            def judged(route: Any) -> None:
                if route.request.url.startswith((address, "data:", "blob:")):
                    route.continue_()
                else:
                    made.outside.append(route.request.url)
                    route.abort()

            context.route("**/*", judged)
            made.page.set_default_timeout(60_000)
            made.page.on("pageerror", lambda error: made.errors.append(str(error)))
            made.page.on("console", made.said)
            made.page.goto(f"{address}/lab?token={token}", wait_until="domcontentloaded")
            made.page.wait_for_function(
                "window.jupyterapp?.shell?.isConnected || window.jupyterapp?.restored"
            )
            made.page.evaluate("() => jupyterapp.restored")
            yield made
            context.close()
    finally:
        server.terminate()
        try:
            server.wait(timeout=20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        log.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait(server: subprocess.Popen, address: str, log: Path) -> None:
    for _ in range(600):
        assert server.poll() is None, log.read_text()[-2000:]
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"JupyterLab did not answer: {log.read_text()[-2000:]}")
