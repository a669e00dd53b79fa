"""A headless Chromium that reports what a page asked for and what went wrong."""

from __future__ import annotations

import functools
import http.server
import json
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
)
READY = """
const math = document.querySelectorAll('.math').length;
return document.readyState === 'complete'
  && (math === 0 || document.querySelectorAll('mjx-container').length > 0);
"""
REPORT = """
const images = [...document.querySelectorAll('.bd-article img')];
const inside = e => e.closest('.table-scroll, .pst-scrollable-table-container, pre,'
  + ' .highlight, mjx-container, div.math, div.cell_output, svg');
return {
  title: document.title,
  math: document.querySelectorAll('.bd-article .math').length,
  equations: document.querySelectorAll('.bd-article mjx-container').length,
  wrong: document.querySelectorAll('[data-mjx-error], [data-mml-node="merror"]').length,
  images: images.length,
  broken: images.filter(i => !i.complete || !i.naturalWidth).map(i => i.src),
  silent: images.filter(i => !(i.alt || '').trim()).map(i => i.src),
  banner: [...document.querySelectorAll('.bd-article .tier > .admonition-title')]
    .map(e => e.innerText),
  wide: document.documentElement.scrollWidth > window.innerWidth
    || [...document.querySelectorAll('.bd-article *')].some(
      e => e.getBoundingClientRect().right > window.innerWidth + 1 && !inside(e)),
};
"""


@dataclass
class Visit:
    """What one page showed and did."""

    report: dict[str, Any]
    console: list[str] = field(default_factory=list)  # errors only
    failed: list[str] = field(default_factory=list)  # requests without a good answer
    abroad: list[str] = field(default_factory=list)  # requests to other hosts


def absent() -> str | None:
    """Say why no browser can be driven here, or None where one can."""
    for program in ("chromium", "chromedriver"):
        if shutil.which(program) is None:
            return f"{program} is not installed, so no page was opened in a browser"
    return None


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """Serve a folder on localhost; gives its address."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args: Any) -> None:
            """Say nothing."""

    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


class Browser:
    """Chromium with an empty profile, closed at the end of its `with` block."""

    def __init__(self, profile: Path) -> None:
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service

        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium")
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        wanted = {"performance": "ALL", "browser": "ALL"}
        options.set_capability("goog:loggingPrefs", wanted)
        service = Service(shutil.which("chromedriver"))
        self.driver = webdriver.Chrome(options=options, service=service)
        self.driver.get("about:blank")
        self._drain()

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self.driver.quit()

    def size(self, width: int, height: int = 900) -> None:
        """Set the window's inner size in CSS pixels."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1}
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride", {**metrics, "mobile": False}
        )

    def visit(self, address: str, patience: float = 20.0) -> Visit:
        """Open a page, wait for its equations, and report.

        Args:
            address: its URL.
            patience: seconds to wait for MathJax.
        """
        self.driver.get(address)
        until = time.monotonic() + patience
        while not self.driver.execute_script(READY) and time.monotonic() < until:
            time.sleep(0.05)
        time.sleep(0.1)  # what the page asks for last
        visit = Visit(self.driver.execute_script(REPORT))
        home = "/".join(address.split("/")[:3])
        urls: dict[str, str] = {}
        for method, params in self._drain():
            name = urls.get(params.get("requestId", ""), "?")
            if method == "Network.requestWillBeSent":
                name = urls[params["requestId"]] = params["request"]["url"]
                if not name.startswith((home, "data:", "blob:")):
                    visit.abroad.append(name)
            elif method == "Network.loadingFailed" and not params.get("canceled"):
                visit.failed.append(f"{name}: {params.get('errorText')}")
            elif method == "Network.responseReceived":
                status = params["response"]["status"]
                if status >= 400:
                    visit.failed.append(f"{params['response']['url']}: {status}")
        visit.console = [
            entry["message"]
            for entry in self.driver.get_log("browser")
            if entry["level"] in ("SEVERE", "WARNING")
        ]
        return visit

    def _drain(self) -> list[tuple[str, dict[str, Any]]]:
        """Take the network events since the last call."""
        events = [
            json.loads(entry["message"])["message"]
            for entry in self.driver.get_log("performance")
        ]
        return [(event["method"], event["params"]) for event in events]
